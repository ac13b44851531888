# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Motion is not a change; flicker is, by its share of the pixels."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from ciae_ros.replay.metrics.stability import StabilityMeter

SECOND = 10**9
HEIGHT, WIDTH = 180, 320
TEXTURE = cv2.resize(np.random.default_rng(0).integers(0, 256, (60, 160), np.uint8), (2 * WIDTH, HEIGHT))
CLASSES = cv2.resize(
    np.random.default_rng(1).integers(0, 9, (6, 20), np.uint16), (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST
)


def view(left: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image and classes of a camera that was rotated by a number of pixels."""
    return TEXTURE[:, left : left + WIDTH].copy(), CLASSES[:, left : left + WIDTH].copy()


def test_a_turning_camera_changes_nothing() -> None:
    meter, naive = StabilityMeter(), []
    shares = []
    former = None
    for number in range(5):
        image, classes = view(6 * number)
        shares.append(meter.update(image, classes, SECOND + number * SECOND // 10))
        if former is not None:
            naive.append(np.mean(former != classes))
        former = classes
    assert math.isnan(shares[0][0])
    assert shares[0][1] == 0
    assert max(changed for changed, _ in shares[1:]) < 0.01
    assert min(compared for _, compared in shares[1:]) > 0.85
    assert min(naive) > 0.05, "without flow the motion would be taken for change"


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_flicker_is_found_with_its_share(share: float) -> None:
    meter = StabilityMeter()
    image, classes = view(0)
    meter.update(image, classes, SECOND)
    flickering = classes.copy()
    flickering[: round(share * HEIGHT)] = 0
    was_labelled = np.mean(classes[: round(share * HEIGHT)] != 0) * round(share * HEIGHT) / HEIGHT
    changed, compared = meter.update(image, flickering, 2 * SECOND)
    assert changed == pytest.approx(was_labelled, abs=0.02)
    assert compared > 0.95


@pytest.mark.parametrize(
    ("stamp", "size"),
    [
        (3 * SECOND, (WIDTH, HEIGHT)),
        (SECOND, (WIDTH, HEIGHT)),
        (0, (WIDTH, HEIGHT)),
        (SECOND + 1, (160, 90)),
    ],
    ids=["gap", "same stamp", "backwards", "size"],
)
def test_incompatible_runs_are_refused(stamp: int, size: tuple[int, int]) -> None:
    meter = StabilityMeter()
    image, classes = view(0)
    meter.update(image, classes, SECOND)
    image, classes = (cv2.resize(one, size, interpolation=cv2.INTER_NEAREST) for one in (image, classes))
    changed, compared = meter.update(image, classes, stamp)
    assert math.isnan(changed)
    assert compared == 0
    assert meter.update(image, classes, stamp + SECOND // 10)[0] == pytest.approx(0, abs=0.01)


def test_large_images_and_results_of_another_size() -> None:
    meter = StabilityMeter()
    image, classes = view(0)
    large = cv2.resize(image, (4 * WIDTH, 4 * HEIGHT))
    meter.update(large, classes, SECOND)
    changed, _ = meter.update(large, classes, 2 * SECOND)
    assert changed == pytest.approx(0, abs=0.001)
