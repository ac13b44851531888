# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Decoding of 16-bit images in the RVL format (A. D. Wilson, Fast Lossless Depth Image Compression, 2017).

Numbers have a variable length in groups of three bits, each after a bit that says whether more follow. Runs of zeros
and runs of other values alternate; of the latter, differences between successive values are stored.
"""

from __future__ import annotations

import numpy as np

from ciae_ros.core.compiled import compiled
from ciae_ros.core.images.errors import ImageError, check_number_of_pixels

SIZES = 8
"""Bytes of width and height before the data, as compressed_depth_image_transport writes them."""


def decode_rvl(data: bytes | memoryview, max_pixels: int) -> np.ndarray:
    """Decode an image to (H, W) uint16.

    Raises:
        ImageError: it is corrupt, truncated or too large.
    """
    data = memoryview(data)
    if len(data) < SIZES:
        raise ImageError("undecodable", f"an RVL image of {len(data)} bytes is truncated")
    width, height = (int(value) for value in np.frombuffer(data[:SIZES], "<i4"))
    if width < 1 or height < 1:
        raise ImageError("undecodable", f"an RVL image of {width} x {height} pixels is corrupt")
    check_number_of_pixels(height, width, max_pixels)
    words = np.frombuffer(data[SIZES : SIZES + (len(data) - SIZES) // 4 * 4], "<u4")
    values = np.empty(height * width, np.uint16)
    if not _decode(words, values):
        raise ImageError("undecodable", f"an RVL image of {len(data)} bytes is corrupt or truncated")
    return values.reshape(height, width)


@compiled
def _decode(words: np.ndarray, values: np.ndarray) -> bool:
    """Decode all values; returns False if the data end before, or do not fit."""
    place = count = 0
    previous = 0
    zeros, place = _number(words, place)
    while place >= 0:
        if zeros > len(values) - count:
            return False
        values[count : count + zeros] = 0
        count += zeros
        others, place = _number(words, place)
        if place < 0 or others > len(values) - count:
            return False
        for _ in range(others):
            folded, place = _number(words, place)
            if place < 0:
                return False
            previous += (folded >> 1) ^ -(folded & 1)
            values[count] = previous & 0xFFFF
            count += 1
        if count == len(values):
            return True
        if zeros + others == 0:
            return False
        zeros, place = _number(words, place)
    return False


@compiled
def _number(words: np.ndarray, place: int) -> tuple[int, int]:
    """Read the number at a place in units of four bits; returns it and the next place, or -1 at the end."""
    value = shift = 0
    while True:
        if place >= 8 * len(words) or shift > 30:
            return 0, -1
        group = int(words[place >> 3]) >> (28 - 4 * (place & 7)) & 15
        place += 1
        value |= (group & 7) << shift
        shift += 3
        if not group & 8:
            return value, place
