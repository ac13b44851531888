# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The table of all frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ciae_ros.replay.report.anchors import LISTED, Anchors
from ciae_ros.replay.report.formatting import milliseconds, number, percent
from ciae_ros.replay.report.page import Cell, Column, Omission, Row, Section, Table


@dataclass(frozen=True)
class _MetricColumn:
    key: str
    column: Column
    write: Callable[[float], str]


_METRIC_COLUMNS = (
    _MetricColumn("time", Column("Time, s", meaning="since the bag's first frame"), lambda value: number(value, 2)),
    _MetricColumn("pq", Column("PQ", meaning="of this frame alone"), percent),
    _MetricColumn("miou", Column("mIoU", meaning="of this frame alone"), percent),
    _MetricColumn("segments", Column("Segments"), number),
    _MetricColumn("things", Column("Things"), number),
    _MetricColumn(
        "mean_score", Column("Score", meaning="mean detection score of the things"), lambda value: number(value, 2)
    ),
    _MetricColumn("unlabelled", Column("Unlabelled, %"), percent),
    _MetricColumn("changed", Column("Changed, %", meaning="pixels with another class than before"), percent),
    _MetricColumn("latency", Column("Latency, ms"), milliseconds),
)


def frame_table_section(frames: pd.DataFrame, anchors: Anchors) -> Section | Omission:
    """Build the section with a row for each frame, linked to its images if the page shows them."""
    if frames.empty:
        return Omission("All frames", "the run has no frames")
    metrics = [metric for metric in _METRIC_COLUMNS if frames[metric.key].notna().any()]
    before = ["bag", "topic"] if frames["topic"].nunique() > 1 else ["bag"]
    after = ["problem"] if (frames["problem"] != "").any() else []
    columns = [
        *map(_text_column, before),
        Column("Frame"),
        *(one.column for one in metrics),
        *map(_text_column, after),
    ]
    listed = frames[: anchors.listed]
    rows = []
    for position, frame in zip(listed.index, listed.to_dict("records"), strict=True):
        name = Cell(str(frame["index"]), frame["index"], href=f"#frame-{position}" if position in anchors.shown else "")
        texts = [[Cell(str(frame[one])) for one in names] for names in (before, after)]
        cells = [*texts[0], name, *(_measured(frame, metric) for metric in metrics), *texts[1]]
        rows.append(Row(tuple(cells), f"row-{position}"))
    caption = f"Every frame of the run: {number(len(frames))}."
    if len(frames) > LISTED:
        caption = f"The first {number(LISTED)} of {number(len(frames))} frames; frames.csv has all of them."
    return Section("all-frames", "All frames", tables=(Table(caption, tuple(columns), tuple(rows)),))


def _text_column(name: str) -> Column:
    return Column(name.capitalize(), numeric=False)


def _measured(frame: dict[Any, Any], metric: _MetricColumn) -> Cell:
    value = float(frame[metric.key])
    share = value if metric.key in ("pq", "miou") and not math.isnan(value) else None
    return Cell(metric.write(value), value, share)
