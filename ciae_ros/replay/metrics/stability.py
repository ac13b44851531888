# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Temporal stability: how much of the result changes between frames without a cause in the image."""

from __future__ import annotations

import math

import cv2
import numpy as np

MAX_WIDTH = 480
"""Maximum width of images for optical flow, which is smooth and whose cost grows with the number of pixels."""
MAX_GAP = 1_000_000_000
"""Maximum nanoseconds between frames that are compared."""
MAX_ROUND_TRIP = 1.5
"""Maximum forward-backward error of the flow in pixels of the reduced image; pixels with a larger error are excluded,
such as those that appear or are occluded."""


class StabilityMeter:
    """Compares each frame's classes with those of the previous frame after motion compensation.

    Unlabelled counts as a class, so that a flickering region is not stable.
    """

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._gray: np.ndarray | None = None
        self._semantic = np.empty((0, 0), np.uint16)
        self._stamp = 0
        self._size = (0, 0)

    def update(self, gray: np.ndarray, semantic: np.ndarray, stamp: int) -> tuple[float, float]:
        """Process the next frame.

        Args:
            gray: (H, W) uint8, its image.
            semantic: (H', W') uint16, its category ids, 0 where unlabelled.
            stamp: in nanoseconds.

        Returns:
            Share of the compared pixels whose class has changed, and share of the pixels that could be compared. NaN
            and 0: a first frame, a gap of more than `MAX_GAP` before it, a jump backwards, or another size.
        """
        size = gray.shape
        reduced, classes = _reduced(gray, semantic)
        former, former_classes = self._gray, self._semantic
        is_neighbour = former is not None and size == self._size and 0 < stamp - self._stamp <= MAX_GAP
        self._gray, self._semantic, self._stamp, self._size = reduced, classes, stamp, size
        if not is_neighbour or former is None:
            return math.nan, 0.0
        return self._compare(former, former_classes, reduced, classes)

    def _compare(
        self, former: np.ndarray, former_classes: np.ndarray, present: np.ndarray, classes: np.ndarray
    ) -> tuple[float, float]:
        back = self._flow.calc(present, former, np.empty(0))
        forth = self._flow.calc(former, present, np.empty(0))
        height, width = present.shape
        y, x = np.mgrid[:height, :width].astype(np.float32)
        source_x, source_y = x + back[..., 0], y + back[..., 1]
        inside = (source_x >= 0) & (source_x <= width - 1) & (source_y >= 0) & (source_y <= height - 1)
        returned = back + cv2.remap(forth, source_x, source_y, cv2.INTER_LINEAR)
        trusted = inside & (np.hypot(returned[..., 0], returned[..., 1]) <= MAX_ROUND_TRIP)
        if not trusted.any():
            return math.nan, 0.0
        moved = cv2.remap(former_classes, source_x, source_y, cv2.INTER_NEAREST)
        return float(np.mean(moved[trusted] != classes[trusted])), float(np.mean(trusted))


def _reduced(gray: np.ndarray, semantic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = gray.shape
    scale = min(1.0, MAX_WIDTH / width)
    size = max(16, round(width * scale)), max(16, round(height * scale))
    classes = cv2.resize(semantic, size, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA), classes
