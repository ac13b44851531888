# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Decoding of JPEG and PNG images. Corrupt images are refused, which decoders would silently fill with grey."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg

from ciae_ros.camera.camera_image import (
    MAX_PIXELS,
    CameraImage,
    EncodedImage,
    UnusableImageError,
    check_number_of_pixels,
)

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
"""First bytes of such files."""

PNG_IMAGE_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def decode_image(message: EncodedImage, max_pixels: int = MAX_PIXELS) -> CameraImage:
    """Decode a JPEG or PNG image of at most `max_pixels` pixels.

    The format is detected from the data, because drivers fill the message's `format` in different ways.

    Raises:
        UnusableImageError: it is neither, is corrupt, or is too large.
    """
    data = memoryview(message.data)
    if data[: len(JPEG)] == JPEG:
        return CameraImage(_decode_jpeg(data, max_pixels), "bgr")
    if data[: len(PNG)] == PNG:
        return CameraImage(_decode_png(data, max_pixels), "bgr")
    raise UnusableImageError("undecodable", f"{len(data)} bytes of format {message.format!r} are neither JPEG nor PNG")


def _decode_jpeg(data: memoryview, max_pixels: int) -> np.ndarray:
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        check_number_of_pixels(height, width, max_pixels)
        return simplejpeg.decode_jpeg(data, "BGR", strict=True)
    except (ValueError, KeyError) as error:  # KeyError: an unknown chroma subsampling.
        raise UnusableImageError("undecodable", f"a JPEG image of {len(data)} bytes is corrupt: {error}") from None


def _decode_png(data: memoryview, max_pixels: int) -> np.ndarray:
    error = UnusableImageError("undecodable", f"a PNG image of {len(data)} bytes is corrupt")
    # The size is checked first: a few bytes may declare a size that exceeds all memory.
    if data[12:16] != b"IHDR" or len(data) < 24:
        raise error
    width, height = struct.unpack(">II", data[16:24])
    check_number_of_pixels(height, width, max_pixels)
    # The decoder allocates the declared size of a chunk before checking it; profiles, texts and animations may contain
    # arbitrary data.
    chunks = b"".join(chunk for name, chunk in _png_chunks(data, error) if name in PNG_IMAGE_CHUNKS)
    try:
        pixels = cv2.imdecode(np.frombuffer(PNG + chunks, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape[:2] != (height, width):
        raise error
    return pixels


def _png_chunks(data: memoryview, error: UnusableImageError) -> Iterator[tuple[bytes, memoryview]]:
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
