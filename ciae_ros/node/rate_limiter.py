# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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
