# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Lets frames through at a rate."""

from __future__ import annotations

EARLY = 0.25
"""Share of the period by which a frame may come early, as cameras' frames do."""


class RateLimiter:
    """Admits at most so many frames in a second. A frame that comes early makes the next one due no sooner."""

    def __init__(self) -> None:
        self._due: float | None = None

    def admits(self, now: float, rate: float) -> bool:
        """Is there room for a frame?

        Args:
            now: seconds of a clock that does not go back without `reset`.
            rate: frames per second; 0: any number. May be another one each time.
        """
        if rate <= 0:
            return True
        period = 1 / rate
        due = now if self._due is None else self._due
        if now < due - EARLY * period:
            return False
        self._due = max(due, now - EARLY * period) + period
        return True

    def reset(self) -> None:
        """The clock has jumped: forget what was."""
        self._due = None
