# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What becomes of a camera's message: pixels, or the reason why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from ciae_ros.inference.preprocessing import ChannelOrder

MAX_PIXELS = 36_000_000
"""Of an image, unless the operator chooses another bound: a camera of 8K has 33 million."""


class RawImage(Protocol):
    """What sensor_msgs/Image has, from ROS or from a bag that is read without it."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any
    """A buffer of bytes."""


class EncodedImage(Protocol):
    """What sensor_msgs/CompressedImage has, from ROS or from a bag that is read without it."""

    format: str
    data: Any
    """A buffer of bytes."""


class UnusableImageError(Exception):
    """A message that holds no usable image; the frame is to be dropped."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        """Short and the same for all messages with this fault, for counting."""


@dataclass(frozen=True)
class CameraImage:
    """An image as the predictor takes it; may share the memory of the message that it came from."""

    pixels: np.ndarray
    """(H, W, C) uint8: C is 3 or more, of which the first three are colours, or 1 for "mono"."""
    channel_order: ChannelOrder

    def to_bgr(self) -> np.ndarray:
        """(H, W, 3) uint8 with its own memory, as OpenCV draws on."""
        if self.channel_order == "mono":
            return cv2.cvtColor(self.pixels, cv2.COLOR_GRAY2BGR)
        colors = self.pixels[..., :3]
        return np.ascontiguousarray(colors if self.channel_order == "bgr" else colors[..., ::-1]).copy()


def check_number_of_pixels(height: int, width: int, max_pixels: int) -> None:
    """Raise UnusableImageError for an image that would keep the node from all other cameras for too long."""
    if height * width > max_pixels:
        raise UnusableImageError(
            "too large", f"an image of {width} x {height} pixels; the parameter max_pixels allows {max_pixels}"
        )
