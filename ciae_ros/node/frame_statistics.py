# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What became of a camera's frames, and where their time went."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field, fields

import numpy as np

SUPERSEDED = "superseded"
"""Reason of a drop: a newer frame of the same camera came before this one's turn."""
OVER_RATE = "over rate"
"""The operator allows fewer."""
STALE = "stale"
"""Older than the operator allows."""
FUTURE_STAMP = "stamp in the future"
"""Further ahead of the node's clock than the operator allows."""
STOPPED = "stopped"
"""The node was deactivated while the frame waited, or before it came."""
CLOCK_JUMP = "clock jumped back"
"""The frame waited when a bag began again."""
FAILED = "failed"
"""An exception in the network or while publishing."""
OUT_OF_MEMORY = "out of memory"
DEVICE_LOST = "device lost"

INTENDED = {SUPERSEDED, OVER_RATE, STOPPED, CLOCK_JUMP}
"""Reasons that are no fault."""

FRAMES_REMEMBERED = 1000
"""Stage times are those of this many last frames."""

WINDOW = 10.0
"""Rates and shares are those of so many last seconds."""


@dataclass(frozen=True)
class FrameTimes:
    """Seconds that one frame spent in each stage; together all of its time from its arrival to its last message."""

    wait: float
    """For its turn, and for other frames of the same batch."""
    convert: float
    preprocess: float
    network: float
    fusion: float
    """Proposals, assignment of pixels, and bringing the result to the host."""
    message: float
    publish: float

    @property
    def total(self) -> float:
        return sum(getattr(self, item.name) for item in fields(self))


STAGES = tuple(item.name for item in fields(FrameTimes))


@dataclass(frozen=True)
class StageSummary:
    """Seconds. Means of disjoint stages add up to the mean of the whole frame; percentiles need not."""

    p50: float
    p90: float
    p99: float
    mean: float


@dataclass(frozen=True)
class Snapshot:
    """A camera's counts since the last reset, and its rates of the last seconds."""

    received: int
    segmented: int
    dropped: dict[str, int]
    """By reason."""
    over_budget: int
    """Of the segmented ones, those that took longer than the latency budget."""
    events: dict[str, int]
    """Broken quality of service, by kind."""
    recent_events: dict[str, int]
    """Those of the last seconds."""
    rate_in: float
    """Received per second."""
    rate_out: float
    """Segmented per second."""
    bad_share: float
    """Of the frames of the last seconds, those that should have been segmented and could not be."""
    over_budget_share: float
    """Of those segmented in the last seconds."""
    silent_for: float
    """Seconds since the last frame, or since counting began."""
    stages: dict[str, StageSummary] = field(default_factory=dict)
    """By stage, with "frame" for all of them together; empty before the first segmented frame."""

    @property
    def unfinished(self) -> int:
        """Received, and neither segmented nor dropped yet."""
        return self.received - self.segmented - sum(self.dropped.values())


@dataclass(frozen=True)
class _Counts:
    time: float
    received: int
    segmented: int
    bad: int
    over_budget: int
    events: Counter[str]


class FrameStatistics:
    """Counts of one camera's frames and times of their stages; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._received = self._segmented = self._over_budget = 0
        self._dropped: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._times: deque[FrameTimes] = deque(maxlen=FRAMES_REMEMBERED)
        self._last_arrival = time.monotonic()
        self._history: deque[_Counts] = deque([self._counts()])

    def reset(self) -> None:
        """Count from zero; frames that are on their way count as received again, so that the sums stay right."""
        with self._lock:
            unfinished = self._received - self._segmented - self._dropped.total()
            self._clear()
            self._received = unfinished

    def count_received(self) -> None:
        with self._lock:
            self._received += 1
            self._last_arrival = time.monotonic()

    def count_segmented(self, times: FrameTimes, latency_budget: float = 0.0) -> bool:
        """Count a published result; True if it is the first that took longer than the budget (if there is one)."""
        with self._lock:
            self._segmented += 1
            self._times.append(times)
            over = 0 < latency_budget < times.total
            self._over_budget += over
            return over and self._over_budget == 1

    def count_dropped(self, reason: str) -> bool:
        """Count a dropped frame; True if it is the first with this reason."""
        with self._lock:
            self._dropped[reason] += 1
            return self._dropped[reason] == 1

    def count_event(self, kind: str, times: int = 1) -> None:
        """Count what happened to the topic."""
        with self._lock:
            self._events[kind] += times

    def snapshot(self) -> Snapshot:
        """The present state. The window of the rates is cut at the times at which this is called."""
        with self._lock:
            now = self._counts()
            self._history.append(now)
            while len(self._history) > 2 and self._history[1].time <= now.time - WINDOW:
                self._history.popleft()
            before = self._history[0]
            times = list(self._times)
            dropped, last_arrival = dict(self._dropped), self._last_arrival
        seconds = max(now.time - before.time, 1e-9)
        segmented, bad = now.segmented - before.segmented, now.bad - before.bad
        return Snapshot(
            received=now.received,
            segmented=now.segmented,
            dropped=dropped,
            over_budget=now.over_budget,
            events=dict(now.events),
            recent_events=dict(now.events - before.events),
            rate_in=(now.received - before.received) / seconds,
            rate_out=segmented / seconds,
            bad_share=bad / max(bad + segmented, 1),
            over_budget_share=(now.over_budget - before.over_budget) / max(segmented, 1),
            silent_for=now.time - last_arrival,
            stages=_summaries(times),
        )

    def _counts(self) -> _Counts:
        bad = sum(number for reason, number in self._dropped.items() if reason not in INTENDED)
        return _Counts(time.monotonic(), self._received, self._segmented, bad, self._over_budget, self._events.copy())


def _summaries(times: list[FrameTimes]) -> dict[str, StageSummary]:
    if not times:
        return {}
    columns = {stage: np.array([getattr(frame, stage) for frame in times]) for stage in STAGES}
    columns["frame"] = sum(columns.values(), np.zeros(len(times)))
    return {stage: _summary(values) for stage, values in columns.items()}


def _summary(seconds: np.ndarray) -> StageSummary:
    p50, p90, p99 = (float(value) for value in np.percentile(seconds, (50, 90, 99)))
    return StageSummary(p50, p90, p99, float(seconds.mean()))
