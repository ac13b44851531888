# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Camera images, and the error for messages without a usable image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from ciae_ros.core.images.channel_order import ChannelOrder

MAX_PIXELS = 36_000_000
"""Default maximum number of pixels of an image; an 8K camera has 33 million."""


class RawImage(Protocol):
    """The fields of sensor_msgs/Image, from ROS or from a bag that is read without ROS."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any
    """A buffer of bytes."""


class EncodedImage(Protocol):
    """The fields of sensor_msgs/CompressedImage, from ROS or from a bag that is read without ROS."""

    format: str
    data: Any
    """A buffer of bytes."""


class UnusableImageError(Exception):
    """A message without a usable image; its frame must be dropped."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        """Category of the fault, for counting."""


@dataclass(frozen=True)
class CameraImage:
    """An image as the predictor takes it; it may share memory with its message."""

    pixels: np.ndarray
    """(H, W, C) uint8: C is 3 or more, of which the first three are colours, or 1 for "mono"."""
    channel_order: ChannelOrder

    def to_bgr(self) -> np.ndarray:
        """Convert to (H, W, 3) uint8 BGR with its own memory."""
        if self.channel_order == "mono":
            return cv2.cvtColor(self.pixels, cv2.COLOR_GRAY2BGR)
        colors = self.pixels[..., :3]
        return np.ascontiguousarray(colors if self.channel_order == "bgr" else colors[..., ::-1]).copy()


def check_number_of_pixels(height: int, width: int, max_pixels: int) -> None:
    """Raise UnusableImageError for an image with too many pixels, which would block the node for too long."""
    if height * width > max_pixels:
        raise UnusableImageError(
            "too large", f"an image of {width} x {height} pixels; the parameter max_pixels allows {max_pixels}"
        )
