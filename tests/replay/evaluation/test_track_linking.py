# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Ids of tracks that are valid in a whole topic, from those of shards that share some frames."""

from __future__ import annotations

from ciae_ros.replay.evaluation.track_linking import ids_in_topic, track_ends_table


def row(index: int, segment: int, track_id: int, category_id: int = 3, area: int = 50) -> dict[str, int]:
    return {"index": index, "segment": segment, "category_id": category_id, "area": area, "track_id": track_id}


def test_a_track_continues_that_of_the_same_segment() -> None:
    first = track_ends_table([row(8, 2, 4), row(9, 2, 4), row(9, 3, 7)])
    second = track_ends_table([row(8, 2, 1), row(9, 2, 1), row(9, 3, 2)])
    assert ids_in_topic([[4, 7], [1, 2, 3]], [first, second]) == [{4: 1, 7: 2}, {1: 1, 2: 2, 3: 3}]


def test_chains_of_shards_keep_the_first_id() -> None:
    ends = [track_ends_table([row(9, 2, one), row(19, 2, one)]) for one in (5, 1, 8)]
    ends = [track_ends_table([row(9, 2, 5)]), track_ends_table([row(9, 2, 1), row(19, 2, 1)]), ends[2]]
    assert ids_in_topic([[5], [1], [8, 9]], ends) == [{5: 1}, {1: 1}, {8: 1, 9: 2}]


def test_other_segments_are_not_linked() -> None:
    first = track_ends_table([row(9, 2, 1), row(9, 3, 2), row(9, 4, 3)])
    second = track_ends_table([row(9, 2, 1, area=51), row(9, 3, 2, category_id=4), row(8, 4, 3)])
    assert ids_in_topic([[1, 2, 3], [1, 2, 3]], [first, second])[1] == {1: 4, 2: 5, 3: 6}


def test_the_latest_frame_counts_and_no_id_is_given_twice() -> None:
    first = track_ends_table([row(8, 2, 1), row(9, 2, 2)])
    # Track 1 of the second shard was at the place of both; the latest frame says that it is 2.
    second = track_ends_table([row(8, 2, 1), row(9, 2, 1)])
    assert ids_in_topic([[1, 2], [1]], [first, second])[1] == {1: 2}
    two = track_ends_table([row(8, 2, 5), row(9, 2, 6)])
    same = track_ends_table([row(8, 2, 1), row(9, 2, 1)])
    assert ids_in_topic([[1], [5, 6]], [same, two])[1] == {6: 1, 5: 2}
