# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Every encoding against OpenCV's own conversion, padded rows included; everything else refused with a reason."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from sensor_msgs.msg import CompressedImage, Image

from ciae_ros.camera.camera_image import UnusableImageError
from ciae_ros.camera.image_conversion import ENCODINGS, CvBridge, convert_image
from ciae_ros.camera.image_decoding import decode_image
from ciae_ros.node.publishing.image_messages import label_image

HEIGHT, WIDTH = 48, 64
SCENE = cv2.resize(np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8), (WIDTH, HEIGHT))
"""A smooth BGR image, whose colours are nearly unchanged by sub-sampling and Bayer patterns."""


def mosaic(pattern: str) -> np.ndarray:
    """One colour per pixel, as ROS names the pattern: first row's first two, second row's first two."""
    channel = {"b": 0, "g": 1, "r": 2}
    raw = np.empty((HEIGHT, WIDTH), np.uint8)
    for place, letter in enumerate(pattern):
        y, x = divmod(place, 2)
        raw[y::2, x::2] = SCENE[y::2, x::2, channel[letter]]
    return raw


def yuv422(luma_first: bool) -> np.ndarray:
    packed = np.empty((HEIGHT, WIDTH, 2), np.uint8)
    # OpenCV's packed formats are in the video range (BT.601), which its I420 conversion gives.
    i420 = cv2.cvtColor(SCENE, cv2.COLOR_BGR2YUV_I420)
    luma = i420[:HEIGHT]
    u = i420[HEIGHT : HEIGHT + HEIGHT // 4].reshape(HEIGHT // 2, WIDTH // 2).repeat(2, 0)
    v = i420[HEIGHT + HEIGHT // 4 :].reshape(HEIGHT // 2, WIDTH // 2).repeat(2, 0)
    packed[..., 0 if luma_first else 1] = luma
    packed[:, 0::2, 1 if luma_first else 0] = u
    packed[:, 1::2, 1 if luma_first else 0] = v
    return packed


def nv12() -> np.ndarray:
    i420 = cv2.cvtColor(SCENE, cv2.COLOR_BGR2YUV_I420)
    u = i420[HEIGHT : HEIGHT + HEIGHT // 4].reshape(HEIGHT // 2, WIDTH // 2)
    v = i420[HEIGHT + HEIGHT // 4 :].reshape(HEIGHT // 2, WIDTH // 2)
    return np.vstack((i420[:HEIGHT], np.stack((u, v), axis=-1).reshape(HEIGHT // 2, WIDTH)))


GREY = cv2.cvtColor(SCENE, cv2.COLOR_BGR2GRAY)
GREY16 = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
GREY_AS_BGR = cv2.cvtColor(GREY, cv2.COLOR_GRAY2BGR)

# By encoding: its bytes in rows, the BGR image that OpenCV converts them to, and its difference from the scene.
CASES: dict[str, tuple[np.ndarray, np.ndarray, float | None]] = {
    "rgb8": (cv2.cvtColor(SCENE, cv2.COLOR_BGR2RGB), SCENE, 0),
    "bgr8": (SCENE, SCENE, 0),
    "rgba8": (cv2.cvtColor(SCENE, cv2.COLOR_BGR2RGBA), SCENE, 0),
    "bgra8": (cv2.cvtColor(SCENE, cv2.COLOR_BGR2BGRA), SCENE, 0),
    "mono8": (GREY, GREY_AS_BGR, None),
    "mono16": (
        GREY16.astype("<u2").view(np.uint8),
        cv2.cvtColor(cv2.convertScaleAbs(GREY16, alpha=255 / 65535), cv2.COLOR_GRAY2BGR),
        None,
    ),
    "bayer_rggb8": (mosaic("rggb"), cv2.cvtColor(mosaic("rggb"), cv2.COLOR_BayerRGGB2BGR), 4),
    "bayer_bggr8": (mosaic("bggr"), cv2.cvtColor(mosaic("bggr"), cv2.COLOR_BayerBGGR2BGR), 4),
    "bayer_gbrg8": (mosaic("gbrg"), cv2.cvtColor(mosaic("gbrg"), cv2.COLOR_BayerGBRG2BGR), 4),
    "bayer_grbg8": (mosaic("grbg"), cv2.cvtColor(mosaic("grbg"), cv2.COLOR_BayerGRBG2BGR), 4),
    "yuv422": (yuv422(False), cv2.cvtColor(yuv422(False), cv2.COLOR_YUV2BGR_UYVY), 4),
    "uyvy": (yuv422(False), cv2.cvtColor(yuv422(False), cv2.COLOR_YUV2BGR_UYVY), 4),
    "yuv422_yuy2": (yuv422(True), cv2.cvtColor(yuv422(True), cv2.COLOR_YUV2BGR_YUYV), 4),
    "yuyv": (yuv422(True), cv2.cvtColor(yuv422(True), cv2.COLOR_YUV2BGR_YUYV), 4),
    "nv12": (nv12(), cv2.cvtColor(nv12(), cv2.COLOR_YUV2BGR_NV12), 4),
}


def image(encoding: str, rows: np.ndarray, padding: int = 0) -> Image:
    """A message of the scene's size, with padding in bytes after each row."""
    rows = np.ascontiguousarray(rows).reshape(len(rows), -1)
    data = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return Image(height=HEIGHT, width=WIDTH, encoding=encoding, step=data.shape[1], data=array("B", data.tobytes()))


def test_every_encoding_is_tested() -> None:
    assert set(CASES) == set(ENCODINGS)


@pytest.mark.parametrize("padding", [0, 10])
@pytest.mark.parametrize("encoding", CASES)
def test_encodings_equal_opencvs_conversion(encoding: str, padding: int) -> None:
    rows, expected, tolerance = CASES[encoding]
    converted = convert_image(image(encoding, rows, padding)).to_bgr()
    assert np.array_equal(converted, expected)
    if tolerance is not None:
        assert np.abs(converted.astype(int) - SCENE).mean() <= tolerance


@pytest.mark.parametrize("padding", [0, 10])
def test_big_endian_mono16(padding: int) -> None:
    message = image("mono16", GREY16.astype(">u2").view(np.uint8), padding)
    message.is_bigendian = True
    assert np.array_equal(convert_image(message).to_bgr(), CASES["mono16"][1])


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_packed_encodings_are_not_copied(encoding: str) -> None:
    message = image(encoding, CASES[encoding][0], padding=10)
    assert np.shares_memory(convert_image(message).pixels, np.frombuffer(message.data, np.uint8))


def without_rows(message: Image) -> None:
    message.height = 0


def without_columns(message: Image) -> None:
    message.width = 0


def short_step(message: Image) -> None:
    message.step = message.width


def zero_step(message: Image) -> None:
    message.step = 0


def huge(message: Image) -> None:
    message.height = message.width = 2**30
    message.step = 2**32 - 1


def truncated(message: Image) -> None:
    message.data = message.data[:-1]


def too_long(message: Image) -> None:
    message.data = message.data + array("B", [0])


def without_data(message: Image) -> None:
    message.data = array("B")


def unknown(message: Image) -> None:
    message.encoding = "32FC1"


def nameless(message: Image) -> None:
    message.encoding = ""


FAULTS: dict[Callable[[Image], None], str] = {
    without_rows: "empty",
    without_columns: "empty",
    short_step: "short step",
    zero_step: "short step",
    huge: "too large",
    truncated: "wrong length",
    too_long: "wrong length",
    without_data: "wrong length",
    unknown: "unknown encoding",
    nameless: "unknown encoding",
}


@pytest.mark.parametrize(("fault", "kind"), FAULTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_messages_that_do_not_add_up_are_refused_with_their_kind(fault: Callable[[Image], None], kind: str) -> None:
    if kind == "unknown encoding" and CvBridge is not None:
        pytest.skip("cv_bridge is installed and decides about other encodings")
    message = image("rgb8", SCENE)
    fault(message)
    with pytest.raises(UnusableImageError) as caught:
        convert_image(message)
    assert caught.value.kind == kind
    assert str(caught.value)


@pytest.mark.parametrize(("encoding", "height", "width"), [("yuv422", 4, 5), ("nv12", 4, 5), ("nv12", 5, 4)])
def test_sizes_that_share_colours_by_halves_are_refused(encoding: str, height: int, width: int) -> None:
    with pytest.raises(UnusableImageError, match="colours are shared"):
        convert_image(Image(height=height, width=width, encoding=encoding, step=64, data=array("B", bytes(6 * 64))))


def test_bayer_images_too_small_to_interpolate_are_refused() -> None:
    with pytest.raises(UnusableImageError, match="3 x 3"):
        convert_image(Image(height=2, width=2, encoding="bayer_rggb8", step=2, data=array("B", bytes(4))))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images(suffix: str) -> None:
    data = cv2.imencode(suffix, SCENE)[1].tobytes()
    decoded = decode_image(CompressedImage(format=suffix[1:], data=data))
    assert np.array_equal(decoded.to_bgr(), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"no image", cv2.imencode(".png", SCENE)[1].tobytes()[:40]])
def test_compressed_images_that_cannot_be_decoded_are_refused(data: bytes) -> None:
    with pytest.raises(UnusableImageError, match=r"neither JPEG nor PNG|is corrupt"):
        decode_image(CompressedImage(format="jpeg", data=data))


def test_label_images_have_native_byte_order() -> None:
    labels = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300
    message = label_image(Image().header, labels)
    assert message.is_bigendian == (sys.byteorder == "big")
    assert (message.encoding, message.step, message.height, message.width) == ("16UC1", 8, 3, 4)
    assert np.array_equal(np.frombuffer(message.data, np.uint16).reshape(3, 4), labels)
