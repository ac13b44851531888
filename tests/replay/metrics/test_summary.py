# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A requirement holds if and only if its metric exists and satisfies it; invalid requirements are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ciae_ros.replay.metrics.summary import SUMMARY_METRICS, check, parse_requirements, summarize
from tests.replay.metrics.tables import drive, frame, run


def test_metrics() -> None:
    found = summarize(drive(np.array([0.8, 0.6, 0.2, 1.0]), latency=0.04))
    # One class: three cars with a total IoU of 2.4, one missed and one wrong.
    assert found["pq"] == pytest.approx(100 * 2.4 / 4)
    assert found["sq"] == pytest.approx(100 * 0.8)
    assert found["rq"] == pytest.approx(100 * 3 / 4)
    assert found["pq_things"] == found["pq"]
    assert math.isnan(found["pq_stuff"])
    # Road: 400 of 404; sky is predicted and never there.
    assert found["miou"] == pytest.approx(100 * (400 / 404 + 0) / 2)
    assert found["latency_p50"] == found["latency_p99"] == 0.04
    assert found["fps"] == 2
    assert found["frames"] == 4
    assert tuple(found) == SUMMARY_METRICS


def test_metrics_count_frames_without_a_result() -> None:
    frames = [frame(0), frame(1, problem="no answer", latency=np.nan, changed=np.nan, has_truth=False)]
    found = summarize(run(frames, []))
    assert found["dropped"] == 0.5
    assert found["fps"] == 0.5
    assert found["latency_p90"] == 0.01
    assert found["changed"] == 0.5


@pytest.mark.parametrize(
    ("requirements", "broken"),
    [
        ("pq>=40 latency_p99<=0.05", 0),
        ("pq>=40, latency_p99<=0.05", 0),
        ("pq >= 41.5", 1),
        ("pq>41 pq<41 pq==41 pq<=41", 2),
        ("latency_p99<=5e-2", 0),
        ("miou>=0", 1),
    ],
)
def test_requirements(requirements: str, broken: int) -> None:
    found = {"pq": 41.0, "latency_p99": 0.05, "miou": math.nan}
    lines = check(parse_requirements(requirements), found)
    assert len(lines) == broken
    for line in lines:
        assert line.split()[0].startswith(("pq", "miou"))


@pytest.mark.parametrize("requirements", ["pq", "pq>=", "pq=>40", "speed>=3", "pq>=40 and miou>=3", "pq>=forty"])
def test_invalid_requirements_are_refused(requirements: str) -> None:
    with pytest.raises(ValueError, match=r"pq|speed|and"):
        parse_requirements(requirements)
