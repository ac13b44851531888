# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Conversion of raw ROS images to arrays, without a copy if the encoding permits.

All sizes in a message are checked before its data is accessed: an inconsistent message is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ciae_ros.camera.camera_image import MAX_PIXELS, CameraImage, RawImage, UnusableImageError, check_number_of_pixels
from ciae_ros.core.images.channel_order import ChannelOrder

try:
    from cv_bridge import CvBridge
except ImportError:
    CvBridge = None


@dataclass(frozen=True)
class _Encoding:
    bytes_per_pixel: int
    convert: Callable[[np.ndarray, RawImage], CameraImage]
    """Converts rows without padding: (H, W * bytes_per_pixel) uint8, or (H * 3 / 2, W) for 4:2:0 formats."""
    even_width: bool = False
    is_420: bool = False
    """Half-resolution chroma follows below the luma rows."""
    min_size: int = 1


def _packed(channels: int, order: ChannelOrder) -> _Encoding:
    return _Encoding(
        channels, lambda rows, message: CameraImage(rows.reshape(message.height, message.width, channels), order)
    )


def _opencv(bytes_per_pixel: int, code: int, **constraints: int) -> _Encoding:
    def convert(rows: np.ndarray, message: RawImage) -> CameraImage:
        if bytes_per_pixel > 1:
            rows = rows.reshape(message.height, message.width, bytes_per_pixel)
        return CameraImage(cv2.cvtColor(rows, code), "bgr")

    return _Encoding(bytes_per_pixel, convert, **constraints)  # type: ignore[arg-type]


def _mono16(rows: np.ndarray, message: RawImage) -> CameraImage:
    values = rows.view(">u2" if message.is_bigendian else "<u2")
    # OpenCV does not support rows at odd addresses, which an odd step produces.
    gray = cv2.convertScaleAbs(np.ascontiguousarray(values, np.uint16), alpha=255 / 65535)
    return CameraImage(gray[..., None], "mono")


# OpenCV names Bayer patterns by the second and third pixels of the second row, ROS by the first two of the first row.
_UYVY = _opencv(2, cv2.COLOR_YUV2BGR_UYVY, even_width=True)
_YUYV = _opencv(2, cv2.COLOR_YUV2BGR_YUYV, even_width=True)
ENCODINGS: dict[str, _Encoding] = {
    "rgb8": _packed(3, "rgb"),
    "bgr8": _packed(3, "bgr"),
    "rgba8": _packed(4, "rgb"),
    "bgra8": _packed(4, "bgr"),
    "mono8": _packed(1, "mono"),
    "mono16": _Encoding(2, _mono16),
    "bayer_rggb8": _opencv(1, cv2.COLOR_BayerBG2BGR, min_size=3),
    "bayer_bggr8": _opencv(1, cv2.COLOR_BayerRG2BGR, min_size=3),
    "bayer_gbrg8": _opencv(1, cv2.COLOR_BayerGR2BGR, min_size=3),
    "bayer_grbg8": _opencv(1, cv2.COLOR_BayerGB2BGR, min_size=3),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": _opencv(1, cv2.COLOR_YUV2BGR_NV12, even_width=True, is_420=True),
}


def convert_image(message: RawImage, max_pixels: int = MAX_PIXELS) -> CameraImage:
    """Convert a raw image of at most `max_pixels` pixels; 8-bit RGB, RGBA and mono images are views of the message.

    Raises:
        UnusableImageError: the encoding is unknown, sizes are inconsistent, or the image is too large.
    """
    check_number_of_pixels(message.height, message.width, max_pixels)
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        return _convert_by_cv_bridge(message)
    _check_sizes(message, encoding)
    data = np.frombuffer(message.data, np.uint8)
    rows = data.reshape(-1, message.step)[:, : message.width * encoding.bytes_per_pixel]
    return encoding.convert(rows, message)


def _check_sizes(message: RawImage, encoding: _Encoding) -> None:
    height, width, step = message.height, message.width, message.step
    name = message.encoding
    if height < 1 or width < 1:
        raise UnusableImageError("empty", f"an image of {height} x {width} pixels")
    if min(height, width) < encoding.min_size:
        raise UnusableImageError("too small", f"{name} needs {encoding.min_size} x {encoding.min_size} pixels")
    if (encoding.even_width and width % 2) or (encoding.is_420 and height % 2):
        raise UnusableImageError("odd size", f"{name} cannot be {height} x {width}: colours are shared by pixel pairs")
    if step < width * encoding.bytes_per_pixel:
        raise UnusableImageError("short step", f"step {step} is too small for {width} pixels of {name}")
    rows = height * 3 // 2 if encoding.is_420 else height
    if len(message.data) != rows * step:
        raise UnusableImageError(
            "wrong length", f"{len(message.data)} bytes of data are not {rows} rows of {step} bytes"
        )


def _convert_by_cv_bridge(message: RawImage) -> CameraImage:
    """Convert further encodings, such as 16-bit Bayer and colour, with cv_bridge if it is installed."""
    known = ", ".join(ENCODINGS)
    if CvBridge is None:
        raise UnusableImageError("unknown encoding", f"encoding {message.encoding!r} is not one of {known}")
    try:
        return CameraImage(CvBridge().imgmsg_to_cv2(message, "bgr8"), "bgr")
    except Exception as error:  # cv_bridge raises errors of OpenCV, NumPy and its own.
        raise UnusableImageError(
            "unknown encoding", f"encoding {message.encoding!r} is not one of {known}, and cv_bridge reports: {error}"
        ) from None
