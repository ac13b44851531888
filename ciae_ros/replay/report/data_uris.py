# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Images embedded in a page as data URIs."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from PIL import Image

WIDTH = 960
"""Maximum width in pixels."""
JPEG_BYTES = 150_000
"""Approximate maximum size of an image, so that a page with a dozen frames can be sent by mail."""
_STEPS = ((WIDTH, 85), (WIDTH, 75), (800, 70), (640, 65), (480, 60))
"""Width and JPEG quality, tried until an image is small enough."""


def photo_uri(image: np.ndarray) -> str:
    """Encode a camera image.

    Args:
        image: (H, W, 3) uint8 BGR.
    """
    return _uri("jpeg", _small_jpeg(image))


def label_uri(image: np.ndarray) -> str:
    """Encode an image with few colours and sharp edges, as a palette PNG if that is smaller than JPEG.

    Args:
        image: (H, W, 3) uint8 BGR.
    """
    jpeg = _small_jpeg(image)
    png = _palette_png(shrunk(image, WIDTH, cv2.INTER_NEAREST))
    if png is not None and len(png) <= len(jpeg):
        return _uri("png", png)
    return _uri("jpeg", jpeg)


def shrunk(image: np.ndarray, width: int, interpolation: int) -> np.ndarray:
    """Shrink an image to a maximum width."""
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=interpolation)


def _small_jpeg(image: np.ndarray) -> bytes:
    for width, quality in _STEPS:
        encoded = _jpeg(shrunk(image, width, cv2.INTER_AREA), quality)
        if len(encoded) <= JPEG_BYTES:
            break
    return encoded


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def _palette_png(image: np.ndarray) -> bytes | None:
    """Encode a palette PNG; None if the image has more than 256 colours."""
    blue, green, red = (image[..., channel].astype(np.int32) for channel in range(3))
    colors, indices = np.unique((red << 16) | (green << 8) | blue, return_inverse=True)
    if len(colors) > 256:
        return None
    picture = Image.fromarray(indices.reshape(image.shape[:2]).astype(np.uint8), "P")
    picture.putpalette(np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=1).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _uri(kind: str, encoded: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
