# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Decoding of compressed camera images. Corrupt images are refused, which decoders would silently fill with grey."""

from __future__ import annotations

from ciae_ros.camera.camera_image import MAX_PIXELS, CameraImage, EncodedImage, UnusableImageError
from ciae_ros.core.images.errors import ImageError
from ciae_ros.core.images.jpeg import decode_jpeg
from ciae_ros.core.images.png import decode_png
from ciae_ros.core.images.signatures import JPEG, PNG


def decode_image(message: EncodedImage, max_pixels: int = MAX_PIXELS) -> CameraImage:
    """Decode a JPEG or PNG image of at most `max_pixels` pixels.

    The format is detected from the data, because drivers fill the message's `format` in different ways.

    Raises:
        UnusableImageError: it is neither, is corrupt, or is too large.
    """
    data = memoryview(message.data)
    try:
        if data[: len(JPEG)] == JPEG:
            return CameraImage(decode_jpeg(data, "BGR", max_pixels), "bgr")
        if data[: len(PNG)] == PNG:
            return CameraImage(decode_png(data, max_pixels), "bgr")
    except ImageError as error:
        hint = " (see the parameter max_pixels)" if error.kind == "too large" else ""
        raise UnusableImageError(error.kind, f"{error}{hint}") from None
    raise UnusableImageError("undecodable", f"{len(data)} bytes of format {message.format!r} are neither JPEG nor PNG")
