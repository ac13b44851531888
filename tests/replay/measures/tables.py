# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Small tables of a run, for tests of what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ciae_ros.inference import CategorySet
from ciae_ros.replay.measures.outcomes import FN, FP, TP
from ciae_ros.replay.measures.tables import confusion_table, frames_table, segments_table
from ciae_ros.replay.types import Run

CATEGORIES = CategorySet.from_coco(
    [
        {"id": 1, "name": "road", "isthing": 0},
        {"id": 2, "name": "sky", "isthing": 0},
        {"id": 3, "name": "car", "isthing": 1},
    ]
)
SECOND = 10**9


def frame(index: int, **values: Any) -> dict[str, Any]:
    """A row: a frame with a result and ground truth, ten a second."""
    row = dict.fromkeys(("latency", "decode", "preprocess", "network", "proposals", "fusion", "download"), 0.01)
    row |= dict.fromkeys(("unlabelled", "mean_score", "changed", "compared", "pq", "miou"), 0.5)
    stamp = SECOND + index * SECOND // 10
    row |= {"bag": "drive", "topic": "/image", "index": index, "stamp": stamp, "log_time": stamp, "time": index / 10}
    row |= {"width": 64, "height": 48, "problem": "", "has_truth": True, "segments": 3, "things": 1, "picture": ""}
    return row | values


def segment(index: int, outcome: str, category_id: int = 3, iou: float = 0.0, **values: Any) -> dict[str, Any]:
    """A row."""
    row = {"bag": "drive", "topic": "/image", "index": index, "outcome": outcome, "category_id": category_id}
    row |= {"is_thing": category_id == 3, "iou": iou, "score": 0.9, "area": 500, "distance": 0.5, "id": 1}
    return row | values


def run(frames: list[dict[str, Any]], segments: list[dict[str, Any]], **about: Any) -> Run:
    """With a confusion of a hundred right pixels of road, and one wrong, in each frame."""
    confusion = [
        {
            "bag": one["bag"],
            "topic": one["topic"],
            "index": one["index"],
            "true_id": 1,
            "predicted_id": to,
            "pixels": pixels,
        }
        for one in frames
        for to, pixels in ((1, 100), (2, 1))
    ]
    tables = frames_table(frames), segments_table(segments), confusion_table(confusion)
    return Run(Path(), {"seconds": 2.0} | about, CATEGORIES, *tables)


def drive(ious: np.ndarray, latency: float = 0.01, **values: Any) -> Run:
    """A run in which each frame has one car of such an IoU, missed where it is at most a half."""
    frames, segments = [], []
    for index, iou in enumerate(ious):
        frames.append(frame(index, pq=iou if iou > 0.5 else 0.0, latency=latency, **values))
        found = iou > 0.5
        segments += [segment(index, TP, iou=iou)] if found else [segment(index, FN), segment(index, FP)]
    return run(frames, segments)
