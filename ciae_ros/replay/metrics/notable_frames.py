# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Selection of frames for visual inspection."""

from __future__ import annotations

import pandas as pd

APART = 0.5
"""Minimum seconds between two selected frames of a topic, if there are enough others."""


def worst_frames(frames: pd.DataFrame, count: int) -> pd.DataFrame:
    """Select the frames with the lowest PQ, or without ground truth those with the most changed or unlabelled pixels.

    Frames without a result are skipped, and neighbours of selected frames are used only if there are too few others.
    """
    found = frames[frames["problem"] == ""]
    if found["has_truth"].any():
        ordered = found[found["has_truth"]].sort_values("pq", kind="stable")
    else:
        ordered = found.sort_values(["changed", "unlabelled"], ascending=False, na_position="last", kind="stable")
    return _apart(ordered, count)


def typical_frames(frames: pd.DataFrame, count: int) -> pd.DataFrame:
    """Select the frames nearest to the median PQ, or without ground truth to the median share of changed pixels."""
    found = frames[frames["problem"] == ""]
    if found["has_truth"].any():
        found = found[found["has_truth"]]
        values = found["pq"]
    else:
        values = found["changed"]
    distance = (values - values.quantile(0.5)).abs()
    return _apart(found.loc[distance.sort_values(kind="stable").index], count)


def _apart(ordered: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the first rows of which no two are neighbours, followed by the first of the others."""
    chosen: list[object] = []
    places: list[tuple[tuple[str, str], float]] = []
    for row in ordered[["bag", "topic", "time"]].itertuples():
        if len(chosen) == count:
            break
        sequence = row.bag, row.topic
        if all(sequence != other or abs(time - row.time) >= APART for other, time in places):
            chosen.append(row.Index)
            places.append((sequence, row.time))
    others = [index for index in ordered.index if index not in set(chosen)]
    return ordered.loc[[*chosen, *others[: count - len(chosen)]]]
