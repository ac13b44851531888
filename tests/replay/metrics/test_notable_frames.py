# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Notable frames are the right ones, and distinct."""

from __future__ import annotations

import numpy as np

from ciae_ros.replay.metrics.notable_frames import typical_frames, worst_frames
from ciae_ros.replay.metrics.run_tables import frames_table
from tests.replay.metrics.tables import frame


def test_the_worst_have_the_lowest_quality_and_are_apart() -> None:
    pq = np.linspace(0.9, 0.8, 60)
    pq[20:23] = 0.1, 0.05, 0.1
    pq[40] = 0.3
    table = frames_table([frame(index, pq=value) for index, value in enumerate(pq)])
    assert worst_frames(table, 2)["index"].tolist() == [21, 40]


def test_neighbours_fill_up_where_there_are_no_others() -> None:
    table = frames_table([frame(index, pq=0.9 - 0.1 * index) for index in range(4)])
    assert worst_frames(table, 3)["index"].tolist() == [3, 2, 1]
    assert len(worst_frames(table, 9)) == 4


def test_without_ground_truth_the_most_changed() -> None:
    changed = [np.nan, 0.01, 0.3, 0.02]
    table = frames_table([frame(10 * i, changed=value, has_truth=False, pq=np.nan) for i, value in enumerate(changed)])
    assert worst_frames(table, 1)["index"].tolist() == [20]
    assert typical_frames(table, 1)["index"].tolist() == [30]


def test_frames_without_a_result_or_a_score_are_left_out() -> None:
    rows = [frame(0, problem="no answer", has_truth=False), frame(10, pq=0.5), frame(20, has_truth=False, pq=np.nan)]
    for chosen in (worst_frames(frames_table(rows), 3), typical_frames(frames_table(rows), 3)):
        assert chosen["index"].tolist() == [10]


def test_typical_frames_are_near_the_median() -> None:
    table = frames_table([frame(10 * i, pq=value) for i, value in enumerate((0.1, 0.5, 0.52, 0.9, 0.95))])
    assert typical_frames(table, 2)["index"].tolist() == [20, 10]


def test_nothing_to_choose_from() -> None:
    assert worst_frames(frames_table([]), 3).empty
    assert typical_frames(frames_table([]), 3).empty
