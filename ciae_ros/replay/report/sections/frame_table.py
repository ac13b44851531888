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
class _Measure:
    key: str
    column: Column
    write: Callable[[float], str]


_MEASURES = (
    _Measure("time", Column("Time, s", meaning="since the drive's first frame"), lambda value: number(value, 2)),
    _Measure("pq", Column("PQ", meaning="of this frame alone"), percent),
    _Measure("miou", Column("mIoU", meaning="of this frame alone"), percent),
    _Measure("segments", Column("Segments"), number),
    _Measure("things", Column("Things"), number),
    _Measure(
        "mean_score", Column("Score", meaning="mean detection score of the things"), lambda value: number(value, 2)
    ),
    _Measure("unlabelled", Column("Unlabelled, %"), percent),
    _Measure("changed", Column("Changed, %", meaning="pixels whose class differs from the frame before"), percent),
    _Measure("latency", Column("Latency, ms"), milliseconds),
)


def frame_table_section(frames: pd.DataFrame, anchors: Anchors) -> Section | Omission:
    """A row for each frame, with a link to its pictures where the page has them."""
    if frames.empty:
        return Omission("All frames", "the run has no frames")
    measures = [measure for measure in _MEASURES if frames[measure.key].notna().any()]
    before = ["bag", "topic"] if frames["topic"].nunique() > 1 else ["bag"]
    after = ["problem"] if (frames["problem"] != "").any() else []
    columns = [
        *map(_text_column, before),
        Column("Frame"),
        *(one.column for one in measures),
        *map(_text_column, after),
    ]
    listed = frames[: anchors.listed]
    rows = []
    for position, frame in zip(listed.index, listed.to_dict("records"), strict=True):
        name = Cell(str(frame["index"]), frame["index"], href=f"#frame-{position}" if position in anchors.shown else "")
        texts = [[Cell(str(frame[one])) for one in names] for names in (before, after)]
        cells = [*texts[0], name, *(_measured(frame, measure) for measure in measures), *texts[1]]
        rows.append(Row(tuple(cells), f"row-{position}"))
    caption = f"Every frame of the run: {number(len(frames))}."
    if len(frames) > LISTED:
        caption = f"The first {number(LISTED)} of {number(len(frames))} frames; frames.csv has all of them."
    return Section("all-frames", "All frames", tables=(Table(caption, tuple(columns), tuple(rows)),))


def _text_column(name: str) -> Column:
    return Column(name.capitalize(), numeric=False)


def _measured(frame: dict[Any, Any], measure: _Measure) -> Cell:
    value = float(frame[measure.key])
    share = value if measure.key in ("pq", "miou") and not math.isnan(value) else None
    return Cell(measure.write(value), value, share)
