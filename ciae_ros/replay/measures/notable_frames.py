# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Frames that people should look at."""

from __future__ import annotations

import pandas as pd

APART = 0.5
"""Seconds between two frames of a topic that are both shown, where there are enough others."""


def worst_frames(frames: pd.DataFrame, count: int) -> pd.DataFrame:
    """Rows of the table of frames: the lowest PQ first; without ground truth, where most has changed or is unlabelled.

    Frames without a result are left out; neighbours of a frame that is chosen only if there are too few others.
    """
    found = frames[frames["problem"] == ""]
    if found["has_truth"].any():
        ordered = found[found["has_truth"]].sort_values("pq", kind="stable")
    else:
        ordered = found.sort_values(["changed", "unlabelled"], ascending=False, na_position="last", kind="stable")
    return _apart(ordered, count)


def typical_frames(frames: pd.DataFrame, count: int) -> pd.DataFrame:
    """Rows of the table of frames: nearest to the median PQ; without ground truth, to the median share of change."""
    found = frames[frames["problem"] == ""]
    if found["has_truth"].any():
        found = found[found["has_truth"]]
        values = found["pq"]
    else:
        values = found["changed"]
    distance = (values - values.quantile(0.5)).abs()
    return _apart(found.loc[distance.sort_values(kind="stable").index], count)


def _apart(ordered: pd.DataFrame, count: int) -> pd.DataFrame:
    """The first rows of which no two are neighbours, filled up with the first of the others."""
    chosen: list[object] = []
    places: list[tuple[tuple[str, str], float]] = []
    for row in ordered[["bag", "topic", "time"]].itertuples():
        if len(chosen) == count:
            break
        drive = row.bag, row.topic
        if all(drive != other or abs(time - row.time) >= APART for other, time in places):
            chosen.append(row.Index)
            places.append((drive, row.time))
    others = [index for index in ordered.index if index not in set(chosen)]
    return ordered.loc[[*chosen, *others[: count - len(chosen)]]]
