# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Decoding of RVL images, encoded as the format is described."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.core.images.errors import ImageError
from ciae_ros.core.images.rvl import decode_rvl

MAX_PIXELS = 1_000_000


def encode(values: np.ndarray) -> bytes:
    """Encode (H, W) uint16 values."""
    groups: list[int] = []

    def number(value: int) -> None:
        while True:
            rest = value >> 3
            groups.append(value & 7 | (8 if rest else 0))
            if not rest:
                return
            value = rest

    flat, place, previous = values.ravel().tolist(), 0, 0
    while place < len(flat):
        zeros = next((index for index, value in enumerate(flat[place:]) if value), len(flat) - place)
        place += zeros
        others = next((index for index, value in enumerate(flat[place:]) if not value), len(flat) - place)
        number(zeros)
        number(others)
        for value in flat[place : place + others]:
            delta = value - previous
            number(delta << 1 if delta >= 0 else -2 * delta - 1)
            previous = value
        place += others
    groups += [0] * (-len(groups) % 8)
    shifts = 28 - 4 * np.arange(8, dtype=np.int64)
    words = (np.array(groups, np.int64).reshape(-1, 8) << shifts).sum(axis=1)
    height, width = values.shape
    return np.array([width, height], "<i4").tobytes() + words.astype("<u4").tobytes()


def depth_like(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 65536, (37, 53)).astype(np.uint16)
    values[rng.random(values.shape) < 0.4] = 0
    return values


@pytest.mark.parametrize(
    "values",
    [
        depth_like(0),
        np.zeros((5, 7), np.uint16),
        np.full((3, 4), 65535, np.uint16),
        np.arange(20, dtype=np.uint16).reshape(4, 5),
    ],
    ids=["noise", "zeros", "largest", "ramp"],
)
def test_what_was_encoded_is_decoded(values: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_rvl(encode(values), MAX_PIXELS), values)


@pytest.mark.parametrize("length", [0, 7, 8, 20, 200])
def test_truncated_data_are_refused(length: int) -> None:
    with pytest.raises(ImageError, match=r"truncated|corrupt"):
        decode_rvl(encode(depth_like(1))[:length], MAX_PIXELS)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (-4, 5)])
def test_impossible_sizes_are_refused(width: int, height: int) -> None:
    with pytest.raises(ImageError, match="is corrupt"):
        decode_rvl(np.array([width, height, 1, 2], "<i4").tobytes(), MAX_PIXELS)


def test_too_many_pixels_are_refused_before_memory_is_reserved() -> None:
    with pytest.raises(ImageError, match="at most 1000000 are allowed") as error:
        decode_rvl(np.array([2**30, 2**30, 1], "<i4").tobytes(), MAX_PIXELS)
    assert error.value.kind == "too large"


def test_random_data_end_in_an_error_or_an_image() -> None:
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(300):
        data = np.array([8, 8], "<i4").tobytes() + rng.bytes(int(rng.integers(0, 200)))
        try:
            assert decode_rvl(data, MAX_PIXELS).shape == (8, 8)
        except ImageError:
            refused += 1
    assert refused > 100
