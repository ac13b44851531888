# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""When the network will be free for the next batch.

A frame that is taken too early is old when its turn comes; one that is taken too late keeps the network waiting.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque

from ciae_ros.inference.stage_times import StageTimes

REMEMBERED = 15
"""Batches whose times say how long the next one will take."""


class TurnEstimate:
    """Expects of a batch in the network what the last ones took. May be used from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._begun: deque[float] = deque()
        self._free_at = 0.0

    def begin(self) -> None:
        """A batch is on its way to the network."""
        with self._changed:
            now = time.perf_counter()
            self._begun.append(now)
            self._free_at = max(now, self._free_at) + self._typical()

    def end(self, times: StageTimes | None) -> None:
        """The oldest batch has left the pipeline, with these times if it was segmented."""
        with self._changed:
            self._begun.popleft()
            if times is not None:
                self._seconds.append(times.network + times.proposals + times.fusing)
            # The next one began when this one left the network.
            left = time.perf_counter() - (times.download if times is not None else 0.0)
            self._free_at = left + len(self._begun) * self._typical()
            self._changed.notify_all()

    def seconds_until_free(self) -> float:
        """Until the network has nothing to do; 0 or less if it has nothing now, or should have by what is known."""
        with self._changed:
            return self._seconds_until_free()

    def wait_until_free(self, lead: float, stopping: threading.Event) -> None:
        """Wait until so many seconds before the network will have nothing to do, by what is known.

        A batch may be quicker than the last ones were: when the network has nothing to do, nobody waits any longer.

        Args:
            lead: seconds.
            stopping: when it is set, nobody waits either; to be followed by `wake`.
        """
        with self._changed:
            while not stopping.is_set() and (seconds := self._seconds_until_free() - lead) > 0:
                self._changed.wait(seconds)

    def wake(self) -> None:
        """Make all threads that wait check whether they are to stop."""
        with self._changed:
            self._changed.notify_all()

    def busy_for(self) -> float:
        """Seconds since the oldest batch began; 0 if there is none."""
        with self._changed:
            return time.perf_counter() - self._begun[0] if self._begun else 0.0

    def _seconds_until_free(self) -> float:
        return self._free_at - time.perf_counter() if self._begun else 0.0

    def _typical(self) -> float:
        return statistics.median(self._seconds) if self._seconds else 0.0
