# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Jumps of stamps are reported in a line for each topic, with the first frame."""

from __future__ import annotations

from typing import Any

import pytest

from ciae_ros.replay.bags.types import UNREADABLE
from ciae_ros.replay.evaluation.run_folder import with_time
from ciae_ros.replay.metrics.latency import gaps
from ciae_ros.replay.metrics.run_tables import frames_table
from ciae_ros.replay.metrics.stamps import stamp_problems
from tests.replay.metrics.tables import SECOND, frame


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({3: 0}, ("1 go backwards", "1 jump", "frame 3")),
        ({3: SECOND + 2 * SECOND // 10}, ("1 repeat that of the previous frame", "frame 3")),
        ({9: 10**15}, ("1 jump by more than 1 s", "frame 9")),
    ],
)
def test_one_topic(changes: dict[int, int], said: tuple[str, ...] | None) -> None:
    rows: list[dict[str, Any]] = [frame(index) for index in range(10)]
    for index, stamp in changes.items():
        rows[index]["stamp"] = stamp
    rows += [frame(index, topic="/other") for index in range(10)]
    problems = stamp_problems(frames_table(rows))
    assert len(problems) == (said is not None)
    for words in said or ():
        assert words in problems[0]
        assert "drive, /image" in problems[0]


def test_a_corrupt_message_has_no_stamp_and_no_time() -> None:
    rows = [frame(index) for index in range(5)]
    rows[2] |= {"stamp": 10**18, "problem": UNREADABLE}
    table = with_time(frames_table(rows))
    assert stamp_problems(table) == []
    assert list(table["time"].isna()) == [False, False, True, False, False]
    assert table["time"].max() < 1
    assert gaps(table).empty


def test_a_clock_apart_from_the_recorders_is_no_problem() -> None:
    rows = [frame(index, log_time=10**18 + index * SECOND // 10) for index in range(5)]
    assert stamp_problems(frames_table(rows)) == []
    assert stamp_problems(frames_table([])) == []
