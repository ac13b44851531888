# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The reader of image files. It is the only one of the package: training, evaluation, player and bags see equal pixels.

Pixels are read as stored: an EXIF orientation is ignored, as annotations in COCO's format describe stored pixels.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ciae_ros.core.images.channel_order import ColorOrder
from ciae_ros.core.images.errors import ImageError, UnsupportedJpegError, check_number_of_pixels
from ciae_ros.core.images.png import (
    GRAY,
    HEADER_SIZE,
    PALETTE,
    RGB,
    RGBA,
    decode_png,
    decode_png_values,
    pixel_format,
)
from ciae_ros.core.images.signatures import JPEG, PNG

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of image files in lower case."""
MAX_PIXELS = 150_000_000
"""Maximum number of pixels of an image file."""
SEGMENT_IDS = "8-bit RGB, with a segment id as the colour of each pixel"
ORIENTATION = 0x0112
"""EXIF tag of the orientation."""


class ImageFileError(ValueError):
    """An image file cannot be read; the one-line message names it and states the reason."""


def read_image(path: Path, order: ColorOrder) -> np.ndarray:
    """Read an image file. Grey images become coloured, 16 bits are scaled to 8, and transparency is ignored.

    Args:
        path: path of the file; the format is detected from its content.
        order: order of the channels of the result.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ImageFileError: it is missing, not an image, corrupt, truncated, or has more than `MAX_PIXELS` pixels.
    """
    data = _read_bytes(path)
    try:
        return _decode(data, order)
    except ImageError as error:
        raise ImageFileError(f"{path} cannot be read: {error}") from None


def read_segment_ids(path: Path) -> np.ndarray:
    """Read a PNG file whose colours are segment ids (COCO's panoptic format).

    Returns:
        (H, W) int32: R + 256 G + 65536 B.

    Raises:
        ImageFileError: it is missing, corrupt, too large, or not 8-bit RGB or RGBA.
    """
    png = _read_png(path, (RGB, RGBA), SEGMENT_IDS)
    blue, green, red = (png[..., channel].astype(np.int32) for channel in range(3))
    return red + 256 * green + 65536 * blue


def check_segment_ids(path: Path) -> None:
    """Check the header of a PNG file for `read_segment_ids`, without decoding it.

    Raises:
        ImageFileError: it is missing, or not 8-bit RGB or RGBA.
    """
    _check_format(path, _read_bytes(path, HEADER_SIZE), (RGB, RGBA), SEGMENT_IDS)


def read_classes(path: Path) -> np.ndarray:
    """Read a PNG file whose grey values (H, W) uint8 are classes.

    Raises:
        ImageFileError: it is missing, corrupt, too large, or not 8-bit grey.
    """
    return _read_png(path, (GRAY,), "8-bit grey, with a class as the value of each pixel")


def exif_orientation(path: Path) -> int:
    """Return the EXIF orientation of an image file, which `read_image` ignores: 1 to 8, 1 without any."""
    try:
        with Image.open(path) as file:
            orientation = file.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1
    return orientation if orientation in range(1, 9) else 1


def _decode(data: bytes, order: ColorOrder) -> np.ndarray:
    if data.startswith(JPEG):
        # Imported here, so that other files can be read without simplejpeg.
        from ciae_ros.core.images.jpeg import decode_jpeg  # noqa: PLC0415

        try:
            return decode_jpeg(data, order, MAX_PIXELS)
        except UnsupportedJpegError:
            pixels, decoded_order = _decode_with_pillow(data), "RGB"
    elif data.startswith(PNG):
        pixels, decoded_order = decode_png(data, MAX_PIXELS), "BGR"
    else:
        pixels, decoded_order = _decode_with_pillow(data), "RGB"
    return pixels if order == decoded_order else np.ascontiguousarray(pixels[..., ::-1])


def _read_png(path: Path, color_types: tuple[int, ...], expected: str) -> np.ndarray:
    data = _read_bytes(path)
    _check_format(path, data, color_types, expected)
    try:
        return decode_png_values(data, MAX_PIXELS)
    except ImageError as error:
        raise ImageFileError(f"{path} cannot be read: {error}") from None


def _check_format(path: Path, data: bytes, color_types: tuple[int, ...], expected: str) -> None:
    try:
        bits, color_type = pixel_format(data)
    except ImageError as error:
        raise ImageFileError(f"{path} cannot be read: {error}") from None
    if bits != 8 or color_type not in color_types:
        found = {GRAY: "grey", RGB: "RGB", PALETTE: "with a palette", RGBA: "RGBA"}.get(color_type, "grey with alpha")
        raise ImageFileError(f"{path} is a PNG of {bits} bits {found}, not {expected}")


def _read_bytes(path: Path, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except FileNotFoundError:
        raise ImageFileError(f"{path} is missing") from None
    except OSError as error:
        raise ImageFileError(f"{path} cannot be read: {error.strerror}") from None


def _decode_with_pillow(data: bytes) -> np.ndarray:
    """Decode a file of another format to (H, W, 3) uint8 RGB. Of several frames the first is decoded."""
    if not data:
        raise ImageError("undecodable", "the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as file:
            check_number_of_pixels(file.height, file.width, MAX_PIXELS)
            if file.mode == "F":
                raise ImageError("undecodable", "its pixels are floating-point numbers of unknown range")
            if not file.mode.startswith("I"):
                return np.array(file.convert("RGB"))
            values = np.array(file)
    except UnidentifiedImageError:
        raise ImageError("undecodable", "it is not an image of a known format") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError("undecodable", " ".join(str(error).split())) from None
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("undecodable", "its pixels are integers of more than 16 bits")
    # Rounded like `mono16` messages.
    gray = np.round(values * (255 / 65535)).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)
