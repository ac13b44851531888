# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Differences of two runs, with intervals of the stated coverage."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ciae_ros.inference import CategorySet
from ciae_ros.replay.metrics.paired_comparison import ComparisonError, compare
from ciae_ros.replay.metrics.summary import summarize
from tests.replay.metrics.tables import CATEGORIES, drive

RNG = np.random.default_rng(0)
IOUS = RNG.uniform(0.3, 1.0, 300)


def test_a_run_is_equal_to_itself() -> None:
    found = compare(drive(IOUS), drive(IOUS))
    assert (found.wins, found.losses, found.ties) == (0, 0, 300)
    for delta in found.deltas.values():
        if not math.isnan(delta["delta"]):
            assert delta["delta"] == delta["low"] == delta["high"] == 0


def test_metrics_are_those_of_the_runs() -> None:
    a, b = drive(IOUS, latency=0.03), drive(RNG.uniform(0.4, 1.0, 300), latency=0.02, changed=0.25)
    found = compare(a, b)
    for name in ("pq", "pq_things", "miou"):
        assert found.deltas[name]["a"] == pytest.approx(summarize(a)[name] / 100)
        assert found.deltas[name]["b"] == pytest.approx(summarize(b)[name] / 100)
    assert found.deltas["latency_p50"]["delta"] == pytest.approx(-0.01)
    assert found.deltas["changed"]["delta"] == pytest.approx(-0.25)
    assert math.isnan(found.deltas["pq_stuff"]["delta"])
    (car,) = found.classes[found.classes["category_id"] == 3].to_dict("records")
    assert car["delta"] == pytest.approx(found.deltas["pq"]["delta"])


def test_wins_and_losses_are_counted_by_frame() -> None:
    worse, better = IOUS.copy(), IOUS.copy()
    worse[:30] = 0.4
    better[100:110] = 0.99
    found = compare(drive(worse), drive(better))
    of_a, of_b = (np.where(one > 0.5, one, 0) for one in (worse, better))
    assert found.ties == (of_a == of_b).sum()
    assert found.wins == (of_a != of_b).sum()
    assert found.losses == 0
    assert found.frames["delta"].max() == pytest.approx((of_b - of_a).max())


def test_another_recording_of_the_same_name_is_refused() -> None:
    other = drive(IOUS)
    other = replace(other, frames=other.frames.assign(stamp=other.frames["stamp"] + 1))
    with pytest.raises(ComparisonError, match="no frame in common"):
        compare(drive(IOUS), other)


def test_latencies_are_of_the_frames_that_both_have() -> None:
    both = drive(IOUS, latency=0.03)
    is_first = both.frames["index"] < 100
    late = replace(both, frames=both.frames.assign(latency=both.frames["latency"].mask(is_first, 0.5)))
    missing = replace(both, frames=both.frames.assign(latency=both.frames["latency"].mask(is_first)))
    found = compare(late, missing)
    assert found.deltas["latency_p99"]["delta"] == 0


def test_intervals_hold_the_true_difference_as_often_as_they_say() -> None:
    """Two models whose true difference is 0.05 of SQ on every car."""
    hits, trials = 0, 60
    for trial in range(trials):
        base = np.random.default_rng(trial).uniform(0.6, 0.9, (2, 400))
        delta = compare(drive(base[0]), drive(base[1] + 0.05), samples=200).deltas["pq"]
        assert delta["low"] < delta["high"]
        hits += delta["low"] <= 0.05 <= delta["high"]
    assert hits >= 0.85 * trials


def test_the_same_seed_gives_the_same_intervals() -> None:
    runs = drive(IOUS), drive(IOUS[::-1])
    assert compare(*runs, seed=1).deltas["pq"] == compare(*runs, seed=1).deltas["pq"]
    assert compare(*runs, seed=1).deltas["pq"] != compare(*runs, seed=2).deltas["pq"]


def test_too_few_frames_have_no_interval() -> None:
    delta = compare(drive(np.array([0.6, 0.7])), drive(np.array([0.8, 0.9]))).deltas["pq"]
    assert delta["delta"] == pytest.approx(0.2)
    assert math.isnan(delta["low"])


def test_only_common_frames_are_compared() -> None:
    a, b = drive(IOUS[:100]), drive(IOUS[:60])
    assert compare(a, b).ties == 60
    b.frames["bag"] = "another"
    with pytest.raises(ComparisonError, match="no frame in common"):
        compare(a, b)


def test_other_categories_are_refused() -> None:
    fewer = CategorySet(CATEGORIES.categories[1:])
    with pytest.raises(ComparisonError, match="categories of the two runs differ"):
        compare(drive(IOUS), replace(drive(IOUS), categories=fewer))
