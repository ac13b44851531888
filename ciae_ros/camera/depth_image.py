# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Depth images, from the messages of a camera or from image_transport's compressed ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from ciae_ros.camera.camera_image import EncodedImage, RawImage, UnusableImageError, check_number_of_pixels
from ciae_ros.core.images.errors import ImageError
from ciae_ros.core.images.png import decode_png_values
from ciae_ros.core.images.rvl import decode_rvl
from ciae_ros.core.images.signatures import PNG

HEADER = struct.Struct("<iff")
"""Format and two parameters of the quantisation, before the data of a compressed image."""


@dataclass(frozen=True)
class DepthImage:
    """The depth of each pixel along the optical axis."""

    values: np.ndarray
    """(H, W) uint16 or float32; 0, NaN and infinity are missing values."""
    metres: float
    """Length of the unit of the values."""


def read_depth(message: RawImage, unit: float, max_pixels: int) -> DepthImage:
    """Return the depth of a raw image, without a copy if its rows have no padding.

    Args:
        message: 16UC1 (or mono16) or 32FC1.
        unit: length in metres of the unit of 16-bit values; 32-bit values are metres.
        max_pixels: maximum number of pixels.

    Raises:
        UnusableImageError: the encoding is another one, sizes are inconsistent, or the image is too large.
    """
    check_number_of_pixels(message.height, message.width, max_pixels)
    is_float = message.encoding == "32FC1"
    if not is_float and message.encoding not in ("16UC1", "mono16"):
        raise UnusableImageError("unknown encoding", f"a depth image of {message.encoding!r}, not 16UC1 or 32FC1")
    size = 4 if is_float else 2
    if message.height < 1 or message.width < 1:
        raise UnusableImageError("empty", f"a depth image of {message.height} x {message.width} pixels")
    if message.step < message.width * size:
        raise UnusableImageError("short step", f"step {message.step} is too small for {message.width} pixels")
    if len(message.data) != message.height * message.step:
        raise UnusableImageError(
            "wrong length", f"{len(message.data)} bytes of data are not {message.height} rows of {message.step} bytes"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, : message.width * size]
    kind = np.dtype(np.float32 if is_float else np.uint16).newbyteorder(">" if message.is_bigendian else "<")
    values = np.ascontiguousarray(rows).view(kind)
    return DepthImage(values.astype(kind.newbyteorder("="), copy=False), 1.0 if is_float else unit)


def decode_depth(message: EncodedImage, unit: float, max_pixels: int) -> DepthImage:
    """Decode an image of compressed_depth_image_transport, in the PNG or the RVL format.

    Args:
        message: format and data, such as "16UC1; compressedDepth png".
        unit: length in metres of the unit of 16-bit images.
        max_pixels: maximum number of pixels.

    Raises:
        UnusableImageError: the image is corrupt, truncated or too large.
    """
    data = memoryview(message.data)
    if len(data) <= HEADER.size:
        raise UnusableImageError("undecodable", f"a compressed depth image of {len(data)} bytes is truncated")
    _, scale, offset = HEADER.unpack(data[: HEADER.size])
    body = data[HEADER.size :]
    try:
        is_png = body[: len(PNG)] == PNG
        values = decode_png_values(body, max_pixels) if is_png else decode_rvl(body, max_pixels)
    except ImageError as error:
        raise UnusableImageError(error.kind, str(error)) from None
    if values.ndim != 2 or values.dtype != np.uint16:
        raise UnusableImageError("unknown encoding", "a compressed depth image has not one channel of 16 bits")
    if not message.format.startswith("32FC1"):
        return DepthImage(values, unit)
    # Inverse depth is quantised; 0 is a missing value.
    with np.errstate(divide="ignore", invalid="ignore"):
        metres = np.where(values > 0, scale / (values.astype(np.float32) - np.float32(offset)), 0)
    return DepthImage(metres.astype(np.float32), 1.0)
