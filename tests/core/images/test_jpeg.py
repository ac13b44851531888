# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""JPEG images of cameras that deviate from the standard are decoded; images that have lost data are refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from ciae_ros.core.images.errors import ImageError, UnsupportedJpegError
from ciae_ros.core.images.jpeg import decode_jpeg

MANY = 10**9
SCENE = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8), (333, 251))
GRAY = SCENE[..., 0]


def encoded(pixels: np.ndarray = SCENE, interval: int = 7, *options: int) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_RST_INTERVAL, interval, *options])[1].tobytes()


def scan_start(data: bytes) -> int:
    start = data.index(b"\xff\xda")
    return start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")


def before_markers(data: bytes, extra: bytes) -> bytes:
    """Insert bytes in front of the restart markers and the end of the image."""
    start = scan_start(data)
    return data[:start] + re.sub(rb"\xff[\xd0-\xd9]", lambda found: extra + found[0], data[start:])


def between_segments(data: bytes) -> bytes:
    start = data.index(b"\xff\xdb")
    return data[:start] + bytes(5) + data[start:]


def with_scan_of_another_mode(data: bytes) -> bytes:
    end = scan_start(data)
    return data[: end - 3] + bytes(3) + data[end:]


def without_huffman_tables(data: bytes) -> bytes:
    while (start := data.find(b"\xff\xc4")) >= 0:
        data = data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
    return data


DEVIATIONS: dict[str, Callable[[bytes], bytes]] = {
    "two zeros before markers": lambda data: before_markers(data, bytes(2)),
    "many zeros before markers": lambda data: before_markers(data, bytes(40)),
    "other bytes before markers": lambda data: before_markers(data, b"\x12\x80"),
    "fill bytes before markers": lambda data: before_markers(data, b"\xff\xff"),
    "zeros before the end": lambda data: data[:-2] + bytes(16) + data[-2:],
    "zeros behind the end": lambda data: data + bytes(4096),
    "no end": lambda data: data[:-2],
    "bytes between segments": between_segments,
    "scan of another mode": with_scan_of_another_mode,
    "no Huffman tables": without_huffman_tables,
    "several": lambda data: with_scan_of_another_mode(between_segments(before_markers(data, bytes(3)))) + bytes(9),
}


@pytest.mark.parametrize("interval", [0, 1, 7, 300])
@pytest.mark.parametrize("pixels", [SCENE, GRAY], ids=["colour", "grey"])
@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_deviations_without_a_loss_of_data_are_decoded(deviation: str, pixels: np.ndarray, interval: int) -> None:
    data = encoded(pixels, interval)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decode_jpeg(DEVIATIONS[deviation](data), "BGR", MANY), expected)


@pytest.mark.parametrize("deviation", [*DEVIATIONS, "none"])
@pytest.mark.parametrize("interval", [0, 7])
def test_truncated_images_are_refused_whatever_else_they_deviate_in(deviation: str, interval: int) -> None:
    data = DEVIATIONS.get(deviation, lambda data: data)(encoded(SCENE, interval))
    data = data[: data.rindex(b"\xff\xd9")] if b"\xff\xd9" in data else data
    for share in (0.3, 0.7, 0.95):
        with pytest.raises(ImageError):
            decode_jpeg(data[: round(share * len(data))], "BGR", MANY)


@pytest.mark.parametrize("extra", [b"", bytes(2), b"\x12\x80"])
def test_a_lost_restart_interval_is_refused(extra: bytes) -> None:
    data = before_markers(encoded(), extra)
    markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    with pytest.raises(ImageError):
        decode_jpeg(data[: markers[3]] + data[markers[4] :], "BGR", MANY)
    with pytest.raises(ImageError):
        decode_jpeg(data[: markers[3] - 60] + data[markers[3] :], "BGR", MANY)


def test_more_bytes_than_a_camera_adds_are_lost_data() -> None:
    with pytest.raises(ImageError, match="extraneous"):
        decode_jpeg(before_markers(encoded(), b"\x12\x80" * 20), "BGR", MANY)


def test_progressive_images_are_decoded_and_refused_if_truncated() -> None:
    data = encoded(SCENE, 0, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decode_jpeg(data, "RGB", MANY), expected[..., ::-1])
    with pytest.raises(ImageError):
        decode_jpeg(data[: len(data) // 2], "BGR", MANY)


def test_sizes_and_colours_that_are_not_supported_are_named() -> None:
    with pytest.raises(ImageError, match="333 x 251 pixels; at most 1000"):
        decode_jpeg(encoded(), "BGR", 1000)
    data = bytearray(encoded())
    data[data.index(b"\xff\xc0") + 11] = 0x14
    with pytest.raises(UnsupportedJpegError, match="chroma"):
        decode_jpeg(bytes(data), "BGR", MANY)
