# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""When the network will be available for the next batch.

A frame that is taken too early is old when the network gets to it; one that is taken too late keeps the network idle.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque

from ciae_ros.inference.stage_times import StageTimes

HISTORY_LENGTH = 15
"""Number of recent batches whose median time predicts the next one."""


class NetworkAvailability:
    """Predicts when the network becomes idle from the times of recent batches. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._seconds: deque[float] = deque(maxlen=HISTORY_LENGTH)
        self._start_times: deque[float] = deque()
        self._idle_at = 0.0

    def on_submit(self) -> None:
        """Record that a batch has been submitted."""
        with self._changed:
            now = time.perf_counter()
            self._start_times.append(now)
            self._idle_at = max(now, self._idle_at) + self._typical_seconds()

    def on_complete(self, times: StageTimes | None) -> None:
        """Record that the oldest batch has left the pipeline, with its times unless it failed."""
        with self._changed:
            self._start_times.popleft()
            if times is not None:
                self._seconds.append(times.network + times.proposals + times.fusion)
            # The next batch started when this one left the network.
            left_network_at = time.perf_counter() - (times.download if times is not None else 0.0)
            self._idle_at = left_network_at + len(self._start_times) * self._typical_seconds()
            self._changed.notify_all()

    def seconds_until_idle(self) -> float:
        """Return the predicted time until the network is idle; 0 or less if it is idle or overdue."""
        with self._changed:
            return self._seconds_until_idle()

    def wait_until_idle(self, lead: float, stopping: threading.Event) -> None:
        """Wait until `lead` seconds before the network is predicted to be idle.

        A batch may be faster than recent ones: as soon as the network is idle, the wait ends.

        Args:
            lead: seconds.
            stopping: ends the wait when it is set and `wake` is called afterwards.
        """
        with self._changed:
            while not stopping.is_set() and (seconds := self._seconds_until_idle() - lead) > 0:
                self._changed.wait(seconds)

    def wake(self) -> None:
        """Make all waiting threads check whether they should stop."""
        with self._changed:
            self._changed.notify_all()

    def busy_seconds(self) -> float:
        """Return the time since the oldest batch in flight was submitted; 0 if there is none."""
        with self._changed:
            return time.perf_counter() - self._start_times[0] if self._start_times else 0.0

    def _seconds_until_idle(self) -> float:
        return self._idle_at - time.perf_counter() if self._start_times else 0.0

    def _typical_seconds(self) -> float:
        return statistics.median(self._seconds) if self._seconds else 0.0
