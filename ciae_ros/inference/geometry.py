# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""How a camera image, the network's input and the stride-4 embedding map lie upon each other.

All positions are continuous: pixel i covers [i, i + 1), its centre is at i + 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ciae_ros.model.backbone import FEATURE_STRIDES, SIZE_DIVISOR

EMBEDDING_STRIDE = FEATURE_STRIDES[0]


@dataclass(frozen=True)
class ImageGeometry:
    """Sizes of one image on its way through the network; each is (height, width) in pixels."""

    original: tuple[int, int]
    """Of the camera's image, or of what stands for it (`at_network_size`): the size of the panoptic result."""
    resized: tuple[int, int]
    """After resizing with the aspect ratio kept (to the nearest pixel)."""
    padded: tuple[int, int]
    """After padding on the right and at the bottom: the network's input."""

    @property
    def scale_y(self) -> float:
        """Network pixels per original pixel, vertically."""
        return self.resized[0] / self.original[0]

    @property
    def scale_x(self) -> float:
        """Network pixels per original pixel, horizontally."""
        return self.resized[1] / self.original[1]

    def at_network_size(self) -> ImageGeometry:
        """For a result that is not enlarged to the camera's image: of the resized image's size."""
        return replace(self, original=self.resized)


def image_geometry(height: int, width: int, input_size: int, max_input_size: int) -> ImageGeometry:
    """Resize the shorter side to `input_size`, or less if the longer one would exceed `max_input_size` (Sec. V-C).

    Raises:
        ValueError: the image has no pixels.
    """
    if height < 1 or width < 1:
        raise ValueError(f"an image of {height} x {width} pixels cannot be segmented")
    scale = min(input_size / min(height, width), max_input_size / max(height, width))
    resized = max(1, round(height * scale)), max(1, round(width * scale))
    padded = _round_up(resized[0]), _round_up(resized[1])
    return ImageGeometry((height, width), resized, padded)


def _round_up(length: int) -> int:
    return math.ceil(length / SIZE_DIVISOR) * SIZE_DIVISOR
