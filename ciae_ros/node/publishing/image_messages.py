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


def semantic_image(header: Header, ids: np.ndarray, encoding: str) -> Image:
    """Create an image of category ids (H, W) uint16, as 16UC1 or, if none is above 255, mono8."""
    return byte_image(header, ids.astype(np.uint8)) if encoding == "mono8" else label_image(header, ids)


def byte_image(header: Header, values: np.ndarray) -> Image:
    """Create a mono8 image of (H, W) uint8."""
    return _image(header, values, "mono8")


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
