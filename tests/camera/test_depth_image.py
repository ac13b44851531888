# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Depth images of messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from ciae_ros.camera.camera_image import UnusableImageError
from ciae_ros.camera.depth_image import HEADER, decode_depth, read_depth
from tests.core.images.test_rvl import encode

VALUES = np.arange(1, 13, dtype=np.uint16).reshape(3, 4) * 300


def raw(values: np.ndarray, encoding: str, padding: int = 0, is_bigendian: bool = False) -> Any:
    rows = [row.tobytes() + b"x" * padding for row in values]
    data = b"".join(rows)
    return SimpleNamespace(
        height=len(values),
        width=values.shape[1],
        encoding=encoding,
        is_bigendian=is_bigendian,
        step=len(rows[0]),
        data=data,
    )


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", ["16UC1", "mono16"])
def test_16_bits_are_in_the_unit(encoding: str, padding: int) -> None:
    found = read_depth(raw(VALUES, encoding, padding), unit=0.001, max_pixels=100)
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.metres == 0.001


def test_32_bits_are_metres() -> None:
    values = VALUES.astype(np.float32) / 7
    found = read_depth(raw(values, "32FC1"), unit=0.001, max_pixels=100)
    np.testing.assert_array_equal(found.values, values)
    assert found.metres == 1.0


def test_the_other_byte_order_is_read() -> None:
    found = read_depth(raw(VALUES.astype(">u2"), "16UC1", is_bigendian=True), unit=0.001, max_pixels=100)
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.values.dtype == np.uint16


def changed(**fields: object) -> Any:
    return SimpleNamespace(**vars(raw(VALUES, "16UC1")) | fields)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (changed(encoding="8UC1"), "unknown encoding"),
        (changed(height=0, data=b""), "empty"),
        (changed(step=7, data=b"x" * 21), "short step"),
        (changed(data=b"x" * 23), "wrong length"),
        (changed(width=2000, height=2000), "too large"),
    ],
)
def test_inconsistent_images_are_refused(message: Any, kind: str) -> None:
    with pytest.raises(UnusableImageError) as error:
        read_depth(message, unit=0.001, max_pixels=100)
    assert error.value.kind == kind


def compressed(body: bytes, form: str, scale: float = 0.0, offset: float = 0.0) -> Any:
    return SimpleNamespace(format=form, data=HEADER.pack(0, scale, offset) + body)


PNG = cv2.imencode(".png", VALUES)[1].tobytes()


@pytest.mark.parametrize("body", [PNG, encode(VALUES)], ids=["png", "rvl"])
def test_compressed_16_bits_are_in_the_unit(body: bytes) -> None:
    found = decode_depth(compressed(body, "16UC1; compressedDepth"), unit=0.002, max_pixels=100)
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.metres == 0.002


@pytest.mark.parametrize("as_png", [True, False])
def test_compressed_floats_are_inverse_depth(as_png: bool) -> None:
    """As compressed_depth_image_transport quantises: 100 for the precision, 10 m for the largest depth."""
    depth = np.array([[0.5, 1.0, 2.0], [4.0, 9.0, np.nan]], np.float32)
    scale = 100 * (100 + 1.0)
    offset = 1 - scale / 10
    quantised = np.where(np.isnan(depth), 0, scale / depth + offset).astype(np.uint16)
    body = cv2.imencode(".png", quantised)[1].tobytes() if as_png else encode(quantised)
    found = decode_depth(compressed(body, "32FC1; compressedDepth png", scale, offset), unit=0.001, max_pixels=100)
    np.testing.assert_allclose(found.values, np.nan_to_num(depth), rtol=0.002)
    assert found.metres == 1.0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "undecodable"),
        (PNG[:40], "undecodable"),
        (cv2.imencode(".png", np.zeros((3, 4), np.uint8))[1].tobytes(), "unknown encoding"),
        (cv2.imencode(".png", np.zeros((30, 40), np.uint16))[1].tobytes(), "too large"),
    ],
)
def test_corrupt_compressed_images_are_refused(body: bytes, kind: str) -> None:
    with pytest.raises(UnusableImageError) as error:
        decode_depth(compressed(body, "16UC1; compressedDepth png"), unit=0.001, max_pixels=100)
    assert error.value.kind == kind
