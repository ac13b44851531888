# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The tables of a run and the types of their columns.

frames: one row for each message on an image topic, usable or not. segments: one row for each predicted or true segment.
confusion: one row for each pair of true and predicted categories that occurs in a frame. overlaps: the same for each
pair of segments. A frame is identified by bag, topic and index.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ciae_ros.core.categories import CategorySet

KEY = ["bag", "topic", "index"]

FRAMES = {
    "bag": "object",
    "topic": "object",
    "index": "int64",
    "stamp": "int64",
    "log_time": "int64",
    "time": "float64",
    "width": "int64",
    "height": "int64",
    "problem": "object",
    "has_truth": "bool",
    "latency": "float64",
    "decode": "float64",
    "preprocess": "float64",
    "network": "float64",
    "proposals": "float64",
    "fusion": "float64",
    "download": "float64",
    "segments": "int64",
    "things": "int64",
    "unlabelled": "float64",
    "mean_score": "float64",
    "changed": "float64",
    "compared": "float64",
    "pq": "float64",
    "miou": "float64",
    "picture": "object",
}
"""`problem` is empty or states why there is no result; times in seconds, `stamp` and `log_time` in nanoseconds, shares
0 to 1. `changed`: share of the `compared` pixels whose class differs from the previous frame."""

SEGMENTS = {
    "bag": "object",
    "topic": "object",
    "index": "int64",
    "outcome": "object",
    "category_id": "int64",
    "is_thing": "bool",
    "iou": "float64",
    "score": "float64",
    "area": "int64",
    "distance": "float64",
    "id": "int64",
    "track_id": "int64",
}
"""`outcome`: tp (a matched pair), fp (predicted), fn (true), ignored (predicted, mostly on void or a crowd of its
class), unscored (predicted, without ground truth). `area` in pixels and `distance` from the image's centre (1 is a
corner) are the true segment's for tp and fn, else the predicted one's; `id` and `track_id` are the predicted one's, 0
for fn."""

CONFUSION = {
    "bag": "object",
    "topic": "object",
    "index": "int64",
    "true_id": "int64",
    "predicted_id": "int64",
    "pixels": "int64",
}
"""Category ids; a `predicted_id` of 0 is unlabelled. Void pixels are left out."""

OVERLAPS = {
    "bag": "object",
    "topic": "object",
    "index": "int64",
    "true_number": "int64",
    "true_id": "int64",
    "true_track": "int64",
    "is_crowd": "bool",
    "segment": "int64",
    "predicted_id": "int64",
    "predicted_track": "int64",
    "pixels": "int64",
}
"""Common pixels of a true and a predicted segment. `true_number` and `segment` identify them in the frame, 0 is void
and unlabelled; `true_id` and `predicted_id` are category ids; tracks are 0 where there are none, and are those of one
topic of one bag."""


@dataclass(frozen=True, eq=False)
class EvaluationRun:
    """A finished evaluation, as stored in its folder. Compared by identity."""

    folder: Path
    metadata: dict[str, Any]
    """Content of run.json."""
    categories: CategorySet
    frames: pd.DataFrame
    segments: pd.DataFrame
    confusion: pd.DataFrame
    overlaps: pd.DataFrame


def frames_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Build the frame table; missing columns (`time`) are NaN."""
    return _table(rows, FRAMES)


def segments_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Build the segment table."""
    return _table(rows, SEGMENTS)


def confusion_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Build the confusion table."""
    return _table(rows, CONFUSION)


def overlaps_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Build the table of overlaps."""
    return _table(rows, OVERLAPS)


def _table(rows: list[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(types)).astype(types)
