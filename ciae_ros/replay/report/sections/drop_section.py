# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Frames without a result, gaps between frames, and the cost of running through the node."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ciae_ros.replay.bags.types import NO_RESPONSE
from ciae_ros.replay.report.formatting import number, percent, signed
from ciae_ros.replay.report.page import Cell, Column, Row, Section, Table

LOST = "lost in transport to or from the node"

_COSTS = (
    ("PQ, %", "pq", 1.0, 1),
    ("PQ things, %", "pq_things", 1.0, 1),
    ("PQ stuff, %", "pq_stuff", 1.0, 1),
    ("mIoU, %", "miou", 1.0, 1),
    ("Latency p50, ms", "latency_p50", 1e3, 1),
    ("Latency p99, ms", "latency_p99", 1e3, 1),
    ("Frames/s", "fps", 1.0, 1),
    ("Dropped, %", "dropped", 100.0, 1),
    ("Changed, %", "changed", 100.0, 2),
)
"""Title, metric, factor, digits."""


def drops_section(
    metadata: Mapping[str, Any], frames: pd.DataFrame, gaps: pd.DataFrame, summary: Mapping[str, float]
) -> Section:
    """Build the section with drops, gaps and, for a run through the node, the comparison with lock-step."""
    missing = int((frames["problem"] != "").sum())
    text = (
        f"{number(missing)} of {number(len(frames))} frames have no result ({percent(summary['dropped'])} % dropped)."
    )
    tables = [_gaps(gaps)] if len(gaps) else []
    reasons = _reasons(metadata, frames)
    if reasons:
        tables.append(_drops(reasons, len(frames)))
    if metadata.get("kind") == "node" and metadata.get("lock_step"):
        tables.append(_cost(summary, metadata["lock_step"]))
    return Section("drops", "Gaps and drops", (text,), tables=tuple(tables))


def _reasons(metadata: Mapping[str, Any], frames: pd.DataFrame) -> dict[str, int]:
    counted = {str(reason): int(count) for reason, count in (metadata.get("dropped") or {}).items()}
    problems = frames.loc[frames["problem"] != "", "problem"].value_counts().to_dict()
    # Frames dropped by the node are those without a response: they are counted once, by the node's reasons.
    if counted:
        lost = problems.pop(NO_RESPONSE, 0) - sum(counted.values())
        counted |= {LOST: lost} if lost > 0 else {}
    return {**counted, **{str(kind): int(count) for kind, count in problems.items()}}


def _gaps(gaps: pd.DataFrame) -> Table:
    columns = (Column("Bag", numeric=False), Column("Topic", numeric=False), Column("After, s"), Column("Gap, s"))
    rows = tuple(
        Row((Cell(bag), Cell(topic), Cell(number(time, 3), time), Cell(number(seconds, 3), seconds)))
        for bag, topic, time, seconds in gaps[["bag", "topic", "time", "seconds"]].itertuples(index=False)
    )
    return Table("Times without a frame that are longer than usual on their topic.", columns, rows)


def _drops(reasons: Mapping[str, int], frames: int) -> Table:
    columns = (Column("Reason", numeric=False), Column("Frames"), Column("Share, %"))
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    rows = tuple(
        Row((Cell(reason), Cell(number(count), count), Cell(percent(count / frames), count / frames, count / frames)))
        for reason, count in ordered
    )
    return Table("Why frames have no result.", columns, rows, sorted_by=1, wide=False)


def _cost(summary: Mapping[str, float], lock_step: Mapping[str, Any]) -> Table:
    columns = (Column("Metric", numeric=False), Column("Lock-step"), Column("Node"), Column("Difference"))
    rows = []
    for title, key, factor, digits in _COSTS:
        before, after = (factor * _value(values, key) for values in (lock_step, summary))
        if math.isnan(before) and math.isnan(after):
            continue
        cells = [Cell(number(value, digits), value) for value in (before, after)]
        rows.append(Row((Cell(title), *cells, Cell(signed(after - before, digits), after - before))))
    caption = "Cost of drops and latency: every frame in lock-step, compared with the same bags through the node."
    return Table(caption, columns, tuple(rows), wide=False)


def _value(values: Mapping[str, Any], key: str) -> float:
    value = values.get(key)
    return math.nan if value is None else float(value)
