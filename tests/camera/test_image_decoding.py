# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""JPEG and PNG images are decoded as by OpenCV, and refused if corrupt, truncated, huge, or of another format."""

from __future__ import annotations

import struct
import zlib
from resource import RUSAGE_SELF, getrusage

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from sensor_msgs.msg import CompressedImage

from ciae_ros.camera.camera_image import UnusableImageError
from ciae_ros.camera.image_decoding import decode_image

SCENE = cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8), (320, 240))


def encoded(suffix: str, pixels: np.ndarray = SCENE) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def compressed(data: bytes, name: str = "jpeg") -> CompressedImage:
    return CompressedImage(format=name, data=data)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("pixels", [SCENE, SCENE[..., 0], SCENE[:1, :1]], ids=["colour", "grey", "one pixel"])
def test_pixels_are_those_that_opencv_decodes(suffix: str, pixels: np.ndarray) -> None:
    data = encoded(suffix, pixels)
    decoded = decode_image(compressed(data))
    assert np.array_equal(decoded.to_bgr(), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def test_16_bit_png_is_scaled_to_8_bits() -> None:
    deep = SCENE.astype(np.uint16) * 257
    assert np.abs(decode_image(compressed(encoded(".png", deep))).to_bgr().astype(int) - SCENE).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_at_any_length_is_refused(suffix: str) -> None:
    data = encoded(suffix)
    # The two bytes of a JPEG's end marker, and the twelve of a PNG's, contain no image data.
    for length in (0, 1, 4, 30, len(data) // 4, len(data) // 2, len(data) - 40):
        with pytest.raises(UnusableImageError) as caught:
            decode_image(compressed(data[:length]))
        assert caught.value.kind == "undecodable"


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_bytes_changed_in_the_middle_never_do_worse_than_a_refusal(suffix: str) -> None:
    random = np.random.default_rng(0)
    original = encoded(suffix)
    refused = 0
    for _ in range(200):
        data = bytearray(original)
        for place in random.integers(10, len(data), 8):
            data[place] = random.integers(0, 256)
        try:
            assert decode_image(compressed(bytes(data))).pixels.size <= 36_000_000 * 3
        except UnusableImageError:
            refused += 1
    # Some changes leave a valid JPEG; a PNG has checksums.
    assert refused >= (200 if suffix == ".png" else 80)


@pytest.mark.parametrize("suffix", [".bmp", ".tiff", ".webp"])
def test_other_formats_are_refused(suffix: str) -> None:
    with pytest.raises(UnusableImageError, match="neither JPEG nor PNG"):
        decode_image(compressed(encoded(suffix), "bmp"))


def test_a_claimed_size_that_no_memory_holds_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    rest = b"IDAT" + zlib.compress(b"\0" * 1000)
    png += struct.pack(">I", len(rest) - 4) + rest + struct.pack(">I", zlib.crc32(rest))
    with pytest.raises(UnusableImageError, match="max_pixels"):
        decode_image(compressed(png, "png"))
    with pytest.raises(UnusableImageError, match=r"at most 1000 are allowed \(see the parameter max_pixels\)"):
        decode_image(compressed(encoded(".jpg")), max_pixels=1000)


def test_a_chunk_of_a_png_takes_no_more_memory_than_there_are_bytes() -> None:
    png = encoded(".png", SCENE[:8, :8])
    claim = struct.pack(">I", 2_000_000_000) + b"IDAT"
    peak = getrusage(RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnusableImageError, match="is corrupt"):
        decode_image(compressed(png[:33] + claim + png[33:]))
    assert getrusage(RUSAGE_SELF).ru_maxrss - peak < 100_000, "KiB"


def test_other_chunks_of_a_png_are_ignored() -> None:
    png = encoded(".png")
    text = b"zTXtComment\0\0" + zlib.compress(bytes(50_000_000))
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    turned = b"eXIf" + b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    chunk += struct.pack(">I", len(turned) - 4) + turned + struct.pack(">I", zlib.crc32(turned))
    assert np.array_equal(decode_image(compressed(png[:33] + chunk + png[33:])).to_bgr(), SCENE)


def test_a_chroma_subsampling_that_no_camera_uses_is_refused() -> None:
    data = bytearray(encoded(".jpg"))
    data[data.index(b"\xff\xc0") + 11] = 0x14
    with pytest.raises(UnusableImageError, match="unusual chroma subsampling"):
        decode_image(compressed(bytes(data)))
