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
    _Measure("mean_score", Column("Score", meaning="mean detection score of the things"), lambda value: number(value, 2)),
    _Measure("unlabelled", Column("Unlabelled, %"), percent),
    _Measure("changed", Column("Changed, %", meaning="pixels whose class differs from the frame before"), percent),
    _Measure("latency", Column("Latency, ms"), milliseconds),
)


def frame_table_section(frames: pd.DataFrame, anchors: Anchors) -> Section | Omission:
    """A row for each frame, with a link to its pictures where the page has them."""
    if frames.empty:
        return Omission("All frames", "the run has no frames")
    measures = [measure for measure in _MEASURES if frames[measure.key].notna().any()]
    problems = bool((frames["problem"] != "").any())
    columns = [Column("Bag", numeric=False), Column("Topic", numeric=False), Column("Frame")]
    columns += [measure.column for measure in measures]
    columns += [Column("Problem", numeric=False)] * problems
    rows = tuple(
        _row(position, frame, measures, anchors, problems)
        for position, frame in zip(frames.index[: anchors.listed], frames[: anchors.listed].to_dict("records"), strict=True)
    )
    caption = f"Every frame of the run: {number(len(frames))}."
    if len(frames) > LISTED:
        caption = f"The first {number(LISTED)} of {number(len(frames))} frames; frames.csv has all of them."
    return Section("all-frames", "All frames", tables=(Table(caption, tuple(columns), rows),))


def _row(position: int, frame: dict[Any, Any], measures: list[_Measure], anchors: Anchors, problems: bool) -> Row:
    shown = position in anchors.shown
    name = Cell(str(frame["index"]), float(frame["index"]), href=f"#frame-{position}" if shown else "")
    cells = [Cell(str(frame["bag"])), Cell(str(frame["topic"])), name]
    for measure in measures:
        value = float(frame[measure.key])
        share = value if measure.key in ("pq", "miou") and not math.isnan(value) else None
        cells.append(Cell(measure.write(value), value, share))
    if problems:
        cells.append(Cell(str(frame["problem"])))
    return Row(tuple(cells), f"row-{position}")
