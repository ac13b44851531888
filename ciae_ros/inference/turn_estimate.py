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
        self._lock = threading.Lock()
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._begun: deque[float] = deque()
        self._free_at = 0.0

    def begin(self) -> None:
        """A batch is on its way to the network."""
        with self._lock:
            now = time.perf_counter()
            self._begun.append(now)
            self._free_at = max(now, self._free_at) + self._typical()

    def end(self, times: StageTimes | None) -> None:
        """The oldest batch has left the pipeline, with these times if it was segmented."""
        with self._lock:
            self._begun.popleft()
            if times is not None:
                self._seconds.append(times.network + times.proposals + times.fusing)
            # The next one began when this one left the network.
            left = time.perf_counter() - (times.download if times is not None else 0.0)
            self._free_at = left + len(self._begun) * self._typical()

    def seconds_until_free(self) -> float:
        """Until the network has nothing to do; 0 or less if it has nothing now, or should have by what is known."""
        with self._lock:
            return self._free_at - time.perf_counter() if self._begun else 0.0

    def busy_for(self) -> float:
        """Seconds since the oldest batch began; 0 if there is none."""
        with self._lock:
            return time.perf_counter() - self._begun[0] if self._begun else 0.0

    def _typical(self) -> float:
        return statistics.median(self._seconds) if self._seconds else 0.0
