# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Tracks across shards: each shard tracks on its own, beginning with the last frames of the previous one.

Both shards have the same segments in these frames, which tells which of their tracks are the same. Runs therefore have
the same tracks whether they were interrupted, distributed, or neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pandas as pd

from ciae_ros.core.result import PanopticResult

SHARED_FRAMES = 10
"""Number of frames before a shard that it tracks as well."""

TRACK_ENDS = {"index": "int64", "segment": "int64", "category_id": "int64", "area": "int64", "track_id": "int64"}
"""Columns of the table of the things in the frames that a shard shares with the previous or the next one."""


def thing_rows(index: int, result: PanopticResult) -> list[dict[str, Any]]:
    """Return the rows of a frame."""
    return [
        {
            "index": index,
            "segment": segment.id,
            "category_id": segment.category.id,
            "area": segment.area,
            "track_id": segment.track_id,
        }
        for segment in result.segments
        if segment.track_id
    ]


def track_ends_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Build the table."""
    return pd.DataFrame(rows, columns=list(TRACK_ENDS)).astype(TRACK_ENDS)


def ids_in_topic(track_ids: Sequence[Sequence[int]], ends: Sequence[pd.DataFrame]) -> list[dict[int, int]]:
    """Return ids that are valid in a whole topic, by the ids of each shard.

    Args:
        track_ids: ids that occur in each shard, in the order of the frames.
        ends: tables of track ends of the shards.
    """
    new = count(1)
    found: list[dict[int, int]] = []
    for number, of_shard in enumerate(track_ids):
        linked = _linked(ends[number - 1], found[-1], ends[number]) if number else {}
        found.append({one: linked[one] if one in linked else next(new) for one in sorted(of_shard)})
    return found


def _linked(previous: pd.DataFrame, ids: dict[int, int], present: pd.DataFrame) -> dict[int, int]:
    """Return ids in the topic by those of the present shard, for tracks of things that the previous shard has, too."""
    same = ["index", "segment", "category_id", "area"]
    pairs = previous.merge(present, on=same).sort_values("index", ascending=False, kind="stable")
    linked: dict[int, int] = {}
    for before, after in zip(pairs["track_id_x"].tolist(), pairs["track_id_y"].tolist(), strict=True):
        # The latest frame counts, and no track continues two.
        if after not in linked and before in ids and ids[before] not in linked.values():
            linked[after] = ids[before]
    return linked
