# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Counters and stage times of a camera's frames."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field, fields

import numpy as np

from ciae_ros.core.diagnostics import StageSummary

SUPERSEDED = "superseded"
"""Drop reason: a newer frame of the same camera arrived before this one was taken."""
OVER_RATE = "over rate"
"""Drop reason: the rate exceeds `max_rate`."""
STALE = "stale"
"""Drop reason: the frame is older than `max_age`."""
FUTURE_STAMP = "stamp in the future"
"""Drop reason: the stamp is ahead of the node's clock by more than `max_future`."""
STOPPED = "stopped"
"""Drop reason: the node was deactivated while the frame was waiting, or before it arrived."""
CLOCK_JUMP = "clock jumped back"
"""Drop reason: the clock jumped back while the frame was waiting, as when a bag restarts."""
FAILED = "failed"
"""Drop reason: an exception in the network or while publishing."""
OUT_OF_MEMORY = "out of memory"
DEVICE_LOST = "device lost"

EXPECTED_DROPS = {SUPERSEDED, OVER_RATE, STOPPED, CLOCK_JUMP}
"""Drop reasons that are not faults."""

FRAMES_REMEMBERED = 1000
"""Number of recent frames whose stage times are summarised."""

WINDOW = 10.0
"""Seconds over which rates and shares are computed."""


@dataclass(frozen=True)
class StageDurations:
    """Seconds that a frame spent in each stage; their sum is the time from its arrival to its last message."""

    @property
    def total(self) -> float:
        return sum(getattr(self, item.name) for item in fields(self))


@dataclass(frozen=True)
class FrameTimes(StageDurations):
    """Seconds that a frame spent in each stage of the segmentation."""

    wait: float
    """Waiting for the network, and for other frames of the same batch."""
    convert: float
    preprocess: float
    network: float
    fusion: float
    """Proposals, assignment of pixels, and transfer of the result to the host."""
    tracking: float
    message: float
    publish: float


@dataclass(frozen=True)
class Snapshot:
    """A camera's counters since the last reset, and its recent rates."""

    received: int
    segmented: int
    dropped: dict[str, int]
    """Dropped frames by reason."""
    over_budget: int
    """Segmented frames that took longer than the latency budget."""
    events: dict[str, int]
    """QoS events by kind."""
    recent_events: dict[str, int]
    """Recent QoS events by kind."""
    rate_in: float
    """Received per second."""
    rate_out: float
    """Segmented per second."""
    bad_share: float
    """Share of recent frames that should have been segmented but could not be."""
    over_budget_share: float
    """Share of recently segmented frames over the latency budget."""
    silent_for: float
    """Seconds since the last frame, or since the reset."""
    stages: dict[str, StageSummary] = field(default_factory=dict)
    """Stage times by stage, with "frame" for their sum; empty before the first segmented frame."""

    @property
    def unfinished(self) -> int:
        """Number of frames that were received but neither segmented nor dropped yet."""
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
    """Counters and stage times of one camera's frames. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._received = self._segmented = self._over_budget = 0
        self._dropped: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._times: deque[StageDurations] = deque(maxlen=FRAMES_REMEMBERED)
        self._last_arrival = time.monotonic()
        self._history: deque[_Counts] = deque([self._counts()])

    def reset(self) -> None:
        """Reset the counters; unfinished frames count as received again, so that the sums stay consistent."""
        with self._lock:
            unfinished = self._received - self._segmented - self._dropped.total()
            self._clear()
            self._received = unfinished

    def count_received(self) -> None:
        with self._lock:
            self._received += 1
            self._last_arrival = time.monotonic()

    def count_segmented(self, times: StageDurations, latency_budget: float = 0.0) -> bool:
        """Count a published result; returns True for the first one over the latency budget."""
        with self._lock:
            self._segmented += 1
            self._times.append(times)
            over = 0 < latency_budget < times.total
            self._over_budget += over
            return over and self._over_budget == 1

    def count_dropped(self, reason: str) -> bool:
        """Count a dropped frame; returns True for the first one with this reason."""
        with self._lock:
            self._dropped[reason] += 1
            return self._dropped[reason] == 1

    def count_event(self, kind: str, times: int = 1) -> None:
        """Count a QoS event."""
        with self._lock:
            self._events[kind] += times

    def snapshot(self) -> Snapshot:
        """Return the current state. The window of the rates starts at an earlier call of this method."""
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
        bad = sum(number for reason, number in self._dropped.items() if reason not in EXPECTED_DROPS)
        return _Counts(time.monotonic(), self._received, self._segmented, bad, self._over_budget, self._events.copy())


def _summaries(times: list[StageDurations]) -> dict[str, StageSummary]:
    if not times:
        return {}
    stages = [item.name for item in fields(times[0])]
    columns = {stage: np.array([getattr(frame, stage) for frame in times]) for stage in stages}
    columns["frame"] = sum(columns.values(), np.zeros(len(times)))
    return {stage: _summary(values) for stage, values in columns.items()}


def _summary(seconds: np.ndarray) -> StageSummary:
    p50, p90, p99 = (float(value) for value in np.percentile(seconds, (50, 90, 99)))
    return StageSummary(p50, p90, p99, float(seconds.mean()))
