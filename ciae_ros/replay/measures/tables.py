# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The three tables of a run: what each row is, and which types the columns have.

frames: one row for each message on a topic of images, usable or not. segments: one for each predicted or true segment.
confusion: one for each pair of a true and a predicted category that occurs in a frame. A frame is known by bag, topic
and index.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

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
"""`problem` is empty, or says why there is no result; times in seconds, `stamp` and `log_time` in nanoseconds, shares 0
to 1. `changed`: share of the `compared` pixels whose class is another one than in the frame before."""

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
}
"""`outcome`: tp (a matched pair), fp (predicted), fn (true), ignored (predicted, mostly on void or a crowd of its
class), unscored (predicted, without ground truth). `area` in pixels and `distance` from the image's centre (1 is a
corner) are the true segment's for tp and fn, else the predicted one's; `id` is the predicted one's, 0 for fn."""

CONFUSION = {
    "bag": "object",
    "topic": "object",
    "index": "int64",
    "true_id": "int64",
    "predicted_id": "int64",
    "pixels": "int64",
}
"""Category ids; a `predicted_id` of 0 is unlabelled. Void pixels are left out."""


def frames_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table of frames; a column that a row does not have is NaN (`time`)."""
    return _table(rows, FRAMES)


def segments_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table of segments."""
    return _table(rows, SEGMENTS)


def confusion_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table of confusions."""
    return _table(rows, CONFUSION)


def _table(rows: list[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(types)).astype(types)
