# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Quality over time and by class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ciae_ros.inference import CategorySet
from ciae_ros.replay.report.anchors import Anchors
from ciae_ros.replay.report.formatting import number, percent
from ciae_ros.replay.report.page import Cell, Column, Omission, Row, Section, Table
from ciae_ros.replay.report.time_plots import TimeCurve, time_plot

NO_TRUTH = "no ground truth was given"
UNMATCHED = "no frame has ground truth"

_CLASS_COLUMNS = (
    Column("Class", numeric=False),
    Column("Kind", numeric=False),
    Column("PQ", meaning="panoptic quality, per cent: SQ times RQ"),
    Column("SQ", meaning="segmentation quality: mean IoU of the matched segments, per cent"),
    Column("RQ", meaning="recognition quality: F1 score of the segments, per cent"),
    Column("IoU", meaning="of the class's pixels in all frames together, per cent"),
    Column("TP", meaning="segments found"),
    Column("FP", meaning="segments without a match"),
    Column("FN", meaning="segments missed"),
)


def sequence_section(frames: pd.DataFrame, means: pd.DataFrame, anchors: Anchors) -> Section | Omission:
    """Build the section with PQ over time."""
    if not np.isfinite(frames["pq"] * frames["time"]).any():
        return Omission("Quality over time", "no frame has a PQ of its own")
    caption = "PQ of single frames (points, which link to the frames) and of intervals (line)."
    curve = TimeCurve("pq", "PQ, %", 100.0, write="PQ {:.1f}".format)
    plot = time_plot(frames, curve, anchors, caption, means)
    text = (
        "The PQ of a single frame is averaged over the few classes that it shows, so it varies more than, and differs "
        "from, the PQ of the run."
    )
    return Section("quality-over-time", "Quality over time", (text,), (plot,))


def classes_section(classes: pd.DataFrame, categories: CategorySet) -> Section | Omission:
    """Build the section with the table of classes, sorted by PQ."""
    occurring = classes[classes[["tp", "fp", "fn"]].sum(axis=1) > 0].sort_values("pq", ascending=False)
    if occurring.empty:
        return Omission("Classes", "no class occurs in the ground truth or the results")
    rows = tuple(_class_row(row, categories) for row in occurring.to_dict("records"))
    absent = len(categories.categories) - len(rows)
    caption = f"PQ, SQ, RQ and IoU in per cent. {absent} of {len(categories.categories)} classes do not occur."
    return Section("classes", "Classes", tables=(Table(caption, _CLASS_COLUMNS, rows, sorted_by=2),))


def class_cell(categories: CategorySet, category_id: int) -> Cell:
    """Return a cell with the name and colour of a class."""
    category = categories.by_id[category_id]
    return Cell(category.name, color="rgb({} {} {})".format(*category.color))


def _class_row(row: Mapping[Any, Any], categories: CategorySet) -> Row:
    scores = [
        Cell(percent(row[name]), row[name], None if math.isnan(row[name]) else float(row[name]))
        for name in ("pq", "sq", "rq", "iou")
    ]
    counts = [Cell(number(row[name]), float(row[name])) for name in ("tp", "fp", "fn")]
    name = class_cell(categories, int(row["category_id"]))
    return Row((name, Cell("thing" if row["is_thing"] else "stuff"), *scores, *counts))
