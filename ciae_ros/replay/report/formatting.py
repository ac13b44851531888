# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Formatting of numbers for readers; NaN becomes a dash."""

from __future__ import annotations

import math

MISSING = "–"


def number(value: float, digits: int = 0) -> str:
    """Format a number with separated thousands: 12 345.6."""
    return MISSING if math.isnan(value) else f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "\u2212")


def percent(fraction: float, digits: int = 1) -> str:
    """Format a fraction as percent, without the sign."""
    return number(100 * fraction, digits)


def signed(value: float, digits: int = 1) -> str:
    """Format a number with its sign, even if positive."""
    rounded = round(value, digits) if math.isfinite(value) else value
    return ("+" if rounded > 0 else "") + number(rounded + 0.0, digits)


def milliseconds(seconds: float) -> str:
    """Format seconds as milliseconds with three significant digits, without the unit."""
    value = 1e3 * seconds
    return number(value, 0 if value >= 100 else 1 if value >= 10 else 2)


def duration(seconds: float) -> str:
    """Format a duration in its two largest units."""
    if math.isnan(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def mebibytes(size: float) -> str:
    """Format bytes as MiB with the unit."""
    return f"{number(size / 2**20)} MiB"


def count(amount: int, noun: str) -> str:
    """Format an amount with its noun: 1 frame, 2 frames."""
    return f"{number(amount)} {noun if amount == 1 else noun + 's'}"
