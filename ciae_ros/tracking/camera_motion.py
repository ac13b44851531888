# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The motion of the image that the camera causes: a similarity transform from one frame to the next.

Corners are followed by optical flow on a reduced image, and the transform is fitted robustly. Corners on things are
left out, because things move on their own, unless there are too few others.
"""

from __future__ import annotations

import cv2
import numpy as np

WIDTH = 160
"""Width of the reduced image in pixels."""
MAX_CORNERS = 100
MIN_QUALITY = 0.02
"""Contrast of a corner relative to that of the best one."""
MIN_APART = 6
"""Smallest distance of two corners in pixels of the reduced image."""
WINDOW = (21, 21)
"""Neighbourhood of a corner that is followed, in pixels of the reduced image."""
MAX_ERROR = 1.0
"""Distance in pixels of the reduced image up to which a corner agrees with the transform."""
MIN_AGREEING = 8
"""Number of corners that must agree; otherwise the motion is unknown."""
MIN_AGREEING_SHARE = 0.3
"""Share of the corners that must agree."""


class CameraMotion:
    """Finds the motion from each image to the next."""

    def __init__(self) -> None:
        """Start without a former image."""
        self._former: np.ndarray | None = None
        self._corners: np.ndarray = np.empty((0, 1, 2), np.float32)
        self._size = (0, 0)

    def update(self, image: np.ndarray, is_thing: np.ndarray) -> np.ndarray | None:
        """Process the next image.

        Args:
            image: (H, W) or (H, W, C) uint8 with any order of channels.
            is_thing: (H', W') uint8 of any size, not 0 where there are things.

        Returns:
            (2, 3) float64 similarity transform of positions from the former image to this one, with the width of an
            image as the unit; None if there is no former image of this size or the motion is not evident.
        """
        reduced = _reduced(image)
        former, corners, is_comparable = self._former, self._corners, image.shape[:2] == self._size
        self._former, self._corners, self._size = reduced, _corners(reduced, is_thing), image.shape[:2]
        if former is None or not is_comparable or len(corners) < MIN_AGREEING:
            return None
        transform = _transform(former, reduced, corners, (0.0, 0.0))
        if transform is None:
            # Optical flow only follows motions of a few times its window: begin with the one that the spectra suggest.
            transform = _transform(former, reduced, corners, _translation(former, reduced))
        if transform is not None:
            transform[:, 2] /= reduced.shape[1]
        return transform


def _reduced(image: np.ndarray) -> np.ndarray:
    """Return a gray image of `WIDTH`; the second channel, green, stands for the brightness of colours."""
    # Most of the reduction skips pixels, which is fast; the rest averages them, which avoids aliasing.
    step = max(1, image.shape[1] // (2 * WIDTH))
    channel = image if image.ndim == 2 else image[..., min(1, image.shape[2] - 1)]
    sampled = np.ascontiguousarray(channel[::step, ::step])
    scale = min(1.0, WIDTH / sampled.shape[1])
    size = max(1, round(scale * sampled.shape[1])), max(1, round(scale * sampled.shape[0]))
    return cv2.resize(sampled, size, interpolation=cv2.INTER_AREA)


def _corners(image: np.ndarray, is_thing: np.ndarray) -> np.ndarray:
    """Return the corners (N, 1, 2) float32 to follow."""
    is_stuff = (cv2.resize(is_thing, image.shape[::-1], interpolation=cv2.INTER_NEAREST) == 0).astype(np.uint8)
    corners = cv2.goodFeaturesToTrack(image, MAX_CORNERS, MIN_QUALITY, MIN_APART, mask=is_stuff)
    if corners is None or len(corners) < 2 * MIN_AGREEING:
        corners = cv2.goodFeaturesToTrack(image, MAX_CORNERS, MIN_QUALITY, MIN_APART)
    return np.empty((0, 1, 2), np.float32) if corners is None else corners


def _translation(former: np.ndarray, present: np.ndarray) -> tuple[float, float]:
    """Return the translation x, y in pixels by which the images correlate best."""
    window = cv2.createHanningWindow(former.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(former.astype(np.float32), present.astype(np.float32), window)
    return x, y


def _transform(
    former: np.ndarray, present: np.ndarray, corners: np.ndarray, expected: tuple[float, float]
) -> np.ndarray | None:
    """Return the transform that most corners agree with, if flow that begins with the expected translation finds it."""
    start = corners + np.array(expected, np.float32)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        former, present, corners, start, winSize=WINDOW, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    is_found = found[:, 0] > 0
    if np.count_nonzero(is_found) < MIN_AGREEING:
        return None
    transform, agrees = cv2.estimateAffinePartial2D(corners[is_found], moved[is_found], ransacReprojThreshold=MAX_ERROR)
    agreeing = np.count_nonzero(agrees) if transform is not None else 0
    if agreeing < max(MIN_AGREEING, MIN_AGREEING_SHARE * np.count_nonzero(is_found)):
        return None
    return np.asarray(transform, np.float64)
