# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Formatting of numbers."""

from __future__ import annotations

import math

import pytest

from ciae_ros.replay.report.formatting import count, duration, mebibytes, milliseconds, number, percent, signed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(1234567.0), "1\u202f234\u202f567"),
        (number(-0.26, 1), "\u22120.3"),
        (number(math.nan), "–"),
        (percent(0.4567), "45.7"),
        (signed(0.04), "0.0"),
        (signed(-0.04), "0.0"),
        (signed(2.0), "+2.0"),
        (signed(-2.0), "\u22122.0"),
        (signed(math.nan), "–"),
        (milliseconds(0.00123), "1.23"),
        (milliseconds(0.0345), "34.5"),
        (milliseconds(1.5), "1\u202f500"),
        (duration(12.34), "12.3 s"),
        (duration(75), "1 min 15 s"),
        (duration(7265), "2 h 1 min"),
        (duration(math.nan), "–"),
        (mebibytes(3 * 2**20), "3 MiB"),
        (count(1, "frame"), "1 frame"),
        (count(0, "frame"), "0 frames"),
    ],
)
def test_numbers(text: str, expected: str) -> None:
    assert text == expected
