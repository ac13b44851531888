# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Motion between neighbouring frames of a sequence, by dense optical flow."""

from __future__ import annotations

import cv2
import numpy as np

MAX_DEVIATION = 1.5
"""Maximum distance in pixels between a pixel and where the flow to the neighbour and back leads."""


class MotionField:
    """Motion from a frame to a neighbour."""

    def __init__(self, frame: np.ndarray, neighbor: np.ndarray) -> None:
        """Compute the flow between two images (H, W, 3) uint8 BGR of one size, in both directions."""
        a, b = (cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (frame, neighbor))
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        start = np.zeros((*a.shape, 2), np.float32)
        forward, backward = flow.calc(a, b, start.copy()), flow.calc(b, a, start)
        ys, xs = np.indices(a.shape, np.float32)
        self._xs, self._ys = xs + forward[..., 0], ys + forward[..., 1]
        back = cv2.remap(backward, self._xs, self._ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        deviation = np.hypot(*np.moveaxis(forward + back, -1, 0))
        height, width = a.shape
        is_inside = (self._xs > -1) & (self._ys > -1) & (self._xs < width) & (self._ys < height)
        self.is_visible = is_inside & (deviation < MAX_DEVIATION)
        """(H, W) bool: whether the pixel of the frame is visible in the neighbour."""

    def bring_back(self, ids: np.ndarray) -> np.ndarray:
        """Return the map of ids of the neighbour as it looks in the frame; 0 where the pixel is not visible in it."""
        moved = cv2.remap(ids, self._xs, self._ys, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        return np.where(self.is_visible, moved, 0).astype(ids.dtype)
