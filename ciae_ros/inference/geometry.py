# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Geometry of a camera image and of the network's input.

Positions are continuous: pixel i covers [i, i + 1), its centre is at i + 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ciae_ros.model.strides import FEATURE_STRIDES, SIZE_DIVISOR

EMBEDDING_STRIDE = FEATURE_STRIDES[0]


@dataclass(frozen=True)
class ImageGeometry:
    """Sizes of one image at the stages of inference; each is (height, width) in pixels."""

    original: tuple[int, int]
    """Size of the panoptic result: that of the camera's image, unless `at_network_size` replaced it."""
    resized: tuple[int, int]
    """Size after resizing with the aspect ratio kept (to the nearest pixel)."""
    padded: tuple[int, int]
    """Size after padding on the right and at the bottom: the network's input."""

    @property
    def scale_y(self) -> float:
        """Network pixels per original pixel, vertically."""
        return self.resized[0] / self.original[0]

    @property
    def scale_x(self) -> float:
        """Network pixels per original pixel, horizontally."""
        return self.resized[1] / self.original[1]

    def at_network_size(self) -> ImageGeometry:
        """Return the geometry of a result that keeps the size of the resized image."""
        return replace(self, original=self.resized)


def image_geometry(height: int, width: int, input_size: int, max_input_size: int) -> ImageGeometry:
    """Scale the shorter side to `input_size`, or less if the longer side would exceed `max_input_size` (Sec. V-C).

    Raises:
        ValueError: the image has no pixels.
    """
    if height < 1 or width < 1:
        raise ValueError(f"an image of {height} x {width} pixels cannot be segmented")
    scale = min(input_size / min(height, width), max_input_size / max(height, width))
    resized = max(1, round(height * scale)), max(1, round(width * scale))
    padded = round_up(resized[0], SIZE_DIVISOR), round_up(resized[1], SIZE_DIVISOR)
    return ImageGeometry((height, width), resized, padded)


def round_up(length: int, divisor: int) -> int:
    """Return the smallest multiple of the divisor that is at least as large as the length."""
    return math.ceil(length / divisor) * divisor
