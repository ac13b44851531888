# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Decoding of JPEG images, including those of cameras whose encoders deviate from the standard without losing data."""

from __future__ import annotations

import numpy as np
import simplejpeg

from ciae_ros.core.images.channel_order import ColorOrder
from ciae_ros.core.images.errors import ImageError, UnsupportedJpegError, check_number_of_pixels
from ciae_ros.core.images.jpeg_repair import repair_jpeg


def decode_jpeg(data: bytes | memoryview, order: ColorOrder, max_pixels: int) -> np.ndarray:
    """Decode a JPEG image.

    libjpeg fills what is missing in a truncated image with grey, and reports only the first of its warnings. Therefore
    any warning is an error, unless `repair_jpeg` can remove its cause.

    Args:
        data: the file, which may be followed by other bytes.
        order: order of the channels of the result.
        max_pixels: maximum number of pixels.

    Returns:
        (H, W, 3) uint8, as stored: an EXIF orientation is ignored.

    Raises:
        ImageError: it is corrupt, truncated or too large.
        UnsupportedJpegError: it has CMYK colours or an unusual chroma subsampling, as no camera writes them.
    """
    height, width, color_space = _header(data)
    if color_space in ("CMYK", "YCCK"):
        raise UnsupportedJpegError(f"a JPEG image has {color_space} colours")
    check_number_of_pixels(height, width, max_pixels)
    try:
        return simplejpeg.decode_jpeg(data, order, strict=True)
    except ValueError as error:
        repaired = repair_jpeg(bytes(data))
        if repaired is None:
            raise _corrupt(data, error) from None
    return simplejpeg.decode_jpeg(repaired, order, strict=True)


def _header(data: bytes | memoryview) -> tuple[int, int, str]:
    """Return height, width and colour space."""
    try:
        # Warnings are tolerated here; what causes them is repaired later or not.
        return simplejpeg.decode_jpeg_header(data, strict=False)[:3]
    except (KeyError, ValueError):
        pass
    try:
        return simplejpeg.decode_jpeg_header(data)[:3]
    except KeyError:
        raise UnsupportedJpegError("a JPEG image has an unusual chroma subsampling") from None
    except ValueError as error:
        raise _corrupt(data, error) from None


def _corrupt(data: bytes | memoryview, reason: object) -> ImageError:
    return ImageError("undecodable", f"a JPEG image of {len(data)} bytes is corrupt: {reason}")
