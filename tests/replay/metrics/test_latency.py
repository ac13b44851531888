# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Percentiles of the stages, and gaps where frames are missing."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.replay.metrics.latency import gaps, latency_table
from ciae_ros.replay.metrics.run_tables import frames_table
from tests.replay.metrics.tables import frame


def test_percentiles() -> None:
    table = latency_table(frames_table([frame(i, latency=i / 100, network=np.nan) for i in range(101)]))
    assert table.loc["latency"].to_dict() == pytest.approx({"p50": 0.5, "p90": 0.9, "p99": 0.99, "mean": 0.5})
    assert table.loc["network"].isna().all()


def test_gaps_are_found_in_each_topic() -> None:
    rows = [frame(i, topic=topic) for topic in ("/a", "/b") for i in range(10)]
    del rows[4:6]
    (gap,) = gaps(frames_table(rows)).to_dict("records")
    assert gap == pytest.approx({"bag": "drive", "topic": "/a", "time": 0.3, "seconds": 0.3})


def test_even_and_single_frames_have_none() -> None:
    assert gaps(frames_table([frame(i) for i in range(5)])).empty
    assert gaps(frames_table([frame(0)])).empty
