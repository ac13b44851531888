# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Decoding of PNG images, whose chunks are checked first."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np

from ciae_ros.core.images.errors import ImageError, check_number_of_pixels
from ciae_ros.core.images.signatures import PNG

IMAGE_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
HEADER_SIZE = 26
"""Bytes up to the colour type."""
GRAY, RGB, PALETTE, RGBA = 0, 2, 3, 6
"""Colour types."""


def decode_png(data: bytes | memoryview, max_pixels: int) -> np.ndarray:
    """Decode a PNG image to (H, W, 3) uint8 BGR. Of 16 bits the upper 8 remain, and transparency is ignored.

    Raises:
        ImageError: it is corrupt, truncated or too large.
    """
    return _decode(data, max_pixels, cv2.IMREAD_COLOR)


def decode_png_values(data: bytes | memoryview, max_pixels: int) -> np.ndarray:
    """Decode a PNG image without a palette to its values.

    Returns:
        (H, W) or (H, W, C) uint8 or uint16; of three or four channels the first three are BGR.

    Raises:
        ImageError: it is corrupt, truncated or too large.
    """
    return _decode(data, max_pixels, cv2.IMREAD_UNCHANGED)


def pixel_format(header: bytes | memoryview) -> tuple[int, int]:
    """Return bits per channel and colour type from the first 26 bytes of a PNG file.

    Raises:
        ImageError: they are not those of a PNG file.
    """
    if bytes(header[: len(PNG)]) != PNG or bytes(header[12:16]) != b"IHDR" or len(header) < HEADER_SIZE:
        raise ImageError("undecodable", "it is not a PNG image")
    return header[24], header[25]


def _decode(data: bytes | memoryview, max_pixels: int, flags: int) -> np.ndarray:
    data = memoryview(data)
    error = ImageError("undecodable", f"a PNG image of {len(data)} bytes is corrupt")
    # The size is checked first: a few bytes may declare a size that exceeds all memory.
    if data[: len(PNG)] != PNG or data[12:16] != b"IHDR" or len(data) < 24:
        raise error
    width, height = struct.unpack(">II", data[16:24])
    check_number_of_pixels(height, width, max_pixels)
    # The decoder allocates the declared size of a chunk before checking it; profiles, texts and animations may contain
    # arbitrary data.
    chunks = b"".join(chunk for name, chunk in _chunks(data, error) if name in IMAGE_CHUNKS)
    try:
        pixels = cv2.imdecode(np.frombuffer(PNG + chunks, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape[:2] != (height, width):
        raise error
    return pixels


def _chunks(data: memoryview, error: ImageError) -> Iterator[tuple[bytes, memoryview]]:
    """Iterate over name and bytes (with length and checksum) of the chunks. Raises `error` unless all are intact."""
    start, name = len(PNG), b""
    while name != b"IEND":
        length = int.from_bytes(data[start : start + 4], "big")
        end = start + 12 + length
        if end > len(data) or zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise error
        name = bytes(data[start + 4 : start + 8])
        yield name, data[start:end]
        start = end
