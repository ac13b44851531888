# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Small tables of a run, for tests of the metrics and the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ciae_ros.inference import CategorySet
from ciae_ros.replay.metrics.matching import FN, FP, TP
from ciae_ros.replay.metrics.run_tables import (
    EvaluationRun,
    confusion_table,
    frames_table,
    overlaps_table,
    segments_table,
)

CATEGORIES = CategorySet.from_coco(
    [
        {"id": 1, "name": "road", "isthing": 0},
        {"id": 2, "name": "sky", "isthing": 0},
        {"id": 3, "name": "car", "isthing": 1},
    ]
)
SECOND = 10**9


def frame(index: int, **values: Any) -> dict[str, Any]:
    """Create a row for a frame with a result and ground truth, at ten frames per second."""
    row = dict.fromkeys(("latency", "decode", "preprocess", "network", "proposals", "fusion", "download"), 0.01)
    row |= dict.fromkeys(("unlabelled", "mean_score", "changed", "compared", "pq", "miou"), 0.5)
    stamp = SECOND + index * SECOND // 10
    row |= {"bag": "drive", "topic": "/image", "index": index, "stamp": stamp, "log_time": stamp, "time": index / 10}
    row |= {"width": 64, "height": 48, "problem": "", "has_truth": True, "segments": 3, "things": 1, "picture": ""}
    return row | values


def segment(index: int, outcome: str, category_id: int = 3, iou: float = 0.0, **values: Any) -> dict[str, Any]:
    """A row."""
    row = {"bag": "drive", "topic": "/image", "index": index, "outcome": outcome, "category_id": category_id}
    row |= {
        "is_thing": category_id == 3,
        "iou": iou,
        "score": 0.9,
        "area": 500,
        "distance": 0.5,
        "id": 1,
        "track_id": 0,
    }
    return row | values


def run(
    frames: list[dict[str, Any]],
    segments: list[dict[str, Any]],
    overlaps: Sequence[dict[str, Any]] = (),
    **metadata: Any,
) -> EvaluationRun:
    """Create a run with a hundred correct pixels of road, and a wrong one, in each frame."""
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
    tables = frames_table(frames), segments_table(segments), confusion_table(confusion), overlaps_table([*overlaps])
    return EvaluationRun(Path(), {"seconds": 2.0} | metadata, CATEGORIES, *tables)


def drive(ious: np.ndarray, latency: float = 0.01, **values: Any) -> EvaluationRun:
    """Create a run with a car of the given IoU in each frame, which is missed if the IoU is at most 0.5."""
    frames, segments = [], []
    for index, iou in enumerate(ious):
        frames.append(frame(index, pq=iou if iou > 0.5 else 0.0, latency=latency, **values))
        found = iou > 0.5
        segments += [segment(index, TP, iou=iou)] if found else [segment(index, FN), segment(index, FP)]
    return run(frames, segments)
