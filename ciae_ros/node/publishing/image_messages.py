# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Conversion of arrays to image messages."""

from __future__ import annotations

import sys
from array import array

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ciae_ros.node.publishing.byte_data import message_with_data


def label_image(header: Header, labels: np.ndarray) -> Image:
    """Create a 16UC1 image of ids (H, W) uint16."""
    return _image(header, labels, "16UC1")


def bgr_image(header: Header, pixels: np.ndarray) -> Image:
    """Create a bgr8 image of (H, W, 3) uint8."""
    return _image(header, pixels, "bgr8")


def _image(header: Header, pixels: np.ndarray, encoding: str) -> Image:
    height, width = pixels.shape[:2]
    # Other types would be checked and copied element by element.
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    return message_with_data(
        Image,
        data,
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=sys.byteorder == "big",
        step=len(data) // height,
    )
