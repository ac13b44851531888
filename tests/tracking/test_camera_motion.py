# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The motion of the camera from images whose true motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ciae_ros.tracking.camera_motion import CameraMotion

HEIGHT, WIDTH = 480, 640
NOTHING = np.zeros((HEIGHT, WIDTH), np.uint8)


def texture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).random((HEIGHT, WIDTH)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 9), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def similarity(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle, scale)
    matrix[:, 2] += shift
    return matrix


def warped(image: np.ndarray, transform: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, transform, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def corners_error(found: np.ndarray, true: np.ndarray) -> float:
    """Return the largest error in pixels at four points of the image."""
    points = np.array([[100, 100, 1], [540, 100, 1], [100, 380, 1], [540, 380, 1]], float)
    in_pixels = found * (1, 1, WIDTH)
    return float(np.abs(points @ in_pixels.T - points @ true.T).max())


@pytest.mark.parametrize(
    ("angle", "scale", "shift"),
    [(0, 1, (0, 0)), (0, 1, (57, -12)), (0, 1, (130, 25)), (4, 1, (0, 9)), (-2, 1.08, (-20, 4))],
)
def test_turning_and_moving_forwards_are_found(angle: float, scale: float, shift: tuple[float, float]) -> None:
    true, image = similarity(angle, scale, shift), texture(0)
    motion = CameraMotion()
    assert motion.update(image, NOTHING) is None
    found = motion.update(warped(image, true), NOTHING)
    assert found is not None
    assert corners_error(found, true) < 3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_number_of_channels_will_do(channels: int) -> None:
    true, image = similarity(0, 1, (16, 8)), texture(1)
    motion = CameraMotion()
    motion.update(np.repeat(image[..., None], channels, axis=2), NOTHING)
    found = motion.update(np.repeat(warped(image, true)[..., None], channels, axis=2), NOTHING)
    assert found is not None
    assert corners_error(found, true) < 3


def test_things_with_a_motion_of_their_own_are_not_followed() -> None:
    image, things = texture(2), NOTHING.copy()
    things[80:400, 90:550] = 1
    true, of_things = similarity(0, 1, (24, 0)), similarity(0, 1, (-30, 10))
    second = np.where(things > 0, warped(image, of_things), warped(image, true))
    ignorant, informed = CameraMotion(), CameraMotion()
    ignorant.update(image, NOTHING)
    informed.update(image, things)
    mistaken, found = ignorant.update(second, NOTHING), informed.update(second, things)
    assert found is not None
    assert corners_error(found, true) < 3
    assert mistaken is None or corners_error(mistaken, true) > 20


@pytest.mark.parametrize(
    "second", [texture(4), np.full((HEIGHT, WIDTH), 90, np.uint8), texture(3)[:, :600]], ids=["cut", "dark", "size"]
)
def test_no_motion_is_better_than_a_wrong_one(second: np.ndarray) -> None:
    motion = CameraMotion()
    motion.update(texture(3), NOTHING)
    assert motion.update(second, NOTHING) is None


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (20, 20)])
def test_images_of_any_size_are_accepted(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    motion = CameraMotion()
    for _ in range(2):
        motion.update(image, np.zeros((7, 9), np.uint8))
