# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Limit of a camera's frames per second."""

from __future__ import annotations

TOLERANCE = 0.25
"""Share of the period by which a frame may be early, because cameras have jitter."""


class RateLimiter:
    """Admits frames up to a maximum rate; an early frame does not advance the time of the next one."""

    def __init__(self) -> None:
        self._due: float | None = None

    def admits(self, now: float, rate: float) -> bool:
        """Return whether a frame is admitted.

        Args:
            now: seconds of a clock that only goes back together with `reset`.
            rate: maximum frames per second, which may change; 0: unlimited.
        """
        if rate <= 0:
            return True
        period = 1 / rate
        due = now if self._due is None else self._due
        if now < due - TOLERANCE * period:
            return False
        self._due = max(due, now - TOLERANCE * period) + period
        return True

    def reset(self) -> None:
        """Reset after a jump of the clock."""
        self._due = None
