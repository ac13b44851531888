# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Counters are consistent, stages add up to the frame, and shares and rates cover the last seconds."""

from __future__ import annotations

from dataclasses import fields

import pytest

from ciae_ros.node.diagnostics import frame_statistics
from ciae_ros.node.diagnostics.frame_statistics import FAILED, SUPERSEDED, FrameStatistics, FrameTimes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in a list of one entry."""
    now = [100.0]
    monkeypatch.setattr(frame_statistics.time, "monotonic", lambda: now[0])
    return now


def times(network: float = 0.05) -> FrameTimes:
    return FrameTimes(0.01, 0.002, 0.003, network, 0.004, 0.0015, 0.001, 0.0005)


def test_received_frames_are_segmented_dropped_or_unfinished() -> None:
    statistics = FrameStatistics()
    for _ in range(5):
        statistics.count_received()
    statistics.count_segmented(times())
    assert statistics.count_dropped(SUPERSEDED)
    assert not statistics.count_dropped(SUPERSEDED)
    statistics.count_dropped(FAILED)
    snapshot = statistics.snapshot()
    assert (snapshot.received, snapshot.segmented, snapshot.dropped) == (5, 1, {SUPERSEDED: 2, FAILED: 1})
    assert snapshot.unfinished == 1


def test_after_a_reset_frames_in_flight_are_consistent() -> None:
    statistics = FrameStatistics()
    for _ in range(3):
        statistics.count_received()
    statistics.count_segmented(times())
    statistics.reset()
    statistics.count_dropped(SUPERSEDED)
    statistics.count_segmented(times())
    snapshot = statistics.snapshot()
    assert (snapshot.received, snapshot.unfinished) == (2, 0)


def test_means_of_the_stages_add_up_to_the_frame() -> None:
    statistics = FrameStatistics()
    for network in (0.03, 0.05, 0.2):
        statistics.count_segmented(times(network))
    stages = statistics.snapshot().stages
    names = [item.name for item in fields(FrameTimes)]
    assert set(stages) == {*names, "frame"}
    assert sum(stages[stage].mean for stage in names) == pytest.approx(stages["frame"].mean)
    assert stages["network"].p50 == 0.05
    assert stages["network"].p50 < stages["network"].p90 < stages["network"].p99 <= 0.2


def test_rates_and_shares_cover_the_window_only(clock: list[float]) -> None:
    statistics = FrameStatistics()
    for second in range(40):
        clock[0] = 100.0 + second
        if second < 20:
            statistics.count_received()
            statistics.count_dropped(FAILED)
        else:
            for _ in range(5):
                statistics.count_received()
                statistics.count_segmented(times(), latency_budget=0.01)
        snapshot = statistics.snapshot()
        if second == 15:
            assert snapshot.bad_share == 1.0
    assert snapshot.bad_share == 0.0
    assert snapshot.rate_in == snapshot.rate_out == pytest.approx(5.0)
    assert snapshot.over_budget_share == 1.0
    assert snapshot.over_budget == 100


def test_events_are_recent_for_as_long_as_the_window(clock: list[float]) -> None:
    statistics = FrameStatistics()
    statistics.count_event("deadline missed", 2)
    assert statistics.snapshot().recent_events == {"deadline missed": 2}
    for _ in range(12):
        clock[0] += 1
        snapshot = statistics.snapshot()
    assert snapshot.recent_events == {}
    assert snapshot.events == {"deadline missed": 2}


def test_silence_is_counted_from_the_last_frame(clock: list[float]) -> None:
    statistics = FrameStatistics()
    clock[0] += 3
    assert statistics.snapshot().silent_for == 3
    statistics.count_received()
    assert statistics.snapshot().silent_for == 0


def test_budget_is_reported_the_first_time_only() -> None:
    statistics = FrameStatistics()
    assert not statistics.count_segmented(times(), latency_budget=0.0)
    assert not statistics.count_segmented(times(), latency_budget=1.0)
    assert statistics.count_segmented(times(), latency_budget=0.01)
    assert not statistics.count_segmented(times(), latency_budget=0.01)
