# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What differs between two runs, measure by measure and class by class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ciae_ros.inference import CategorySet
from ciae_ros.replay.measures.comparison import BLOCK
from ciae_ros.replay.report.charts import Intervals, Labels, interval_chart
from ciae_ros.replay.report.formatting import MISSING, number, signed
from ciae_ros.replay.report.page import Cell, Column, Omission, Plot, Row, Section, Table
from ciae_ros.replay.report.sections.quality import class_cell


@dataclass(frozen=True)
class Measure:
    """How a difference is written."""

    key: str
    title: str
    unit: str
    factor: float
    """From the comparison's unit to this one."""
    digits: int = 1
    more_is_better: bool = True


MEASURES = (
    Measure("pq", "PQ", "%", 100),
    Measure("pq_things", "PQ things", "%", 100),
    Measure("pq_stuff", "PQ stuff", "%", 100),
    Measure("miou", "mIoU", "%", 100),
    Measure("changed", "Temporal change", "%", 100, 2, more_is_better=False),
    Measure("latency_p50", "Latency p50", "ms", 1e3, more_is_better=False),
    Measure("latency_p99", "Latency p99", "ms", 1e3, more_is_better=False),
)
_INTERVAL = Column("95 % interval", meaning=f"bootstrap over stretches of {BLOCK:g} s")
_VALUES = (Column("A"), Column("B"), Column("B − A"), _INTERVAL)
DRAWN = 40
"""Classes in the chart at most; the table has all."""
_CAPTION = (
    "B − A with 95 % confidence intervals (lines): blue where B is better, orange where it is worse, faint where the "
    "interval has the zero in it."
)


def measures_section(deltas: Mapping[str, Mapping[str, float]]) -> Section | Omission:
    """The measures that both runs have.

    Args:
        deltas: by measure: a, b, delta, low and high.
    """
    known = [measure for measure in MEASURES if measure.key in deltas and not math.isnan(deltas[measure.key]["delta"])]
    if not known:
        return Omission("Measures", "the two runs have no frame in common")
    plots = []
    for unit in ("%", "ms"):
        group = [measure for measure in known if measure.unit == unit]
        if group:
            plots.append(_chart(f"deltas-{'ms' if unit == 'ms' else 'share'}", group, deltas))
    rows = tuple(
        Row((Cell(f"{measure.title}, {measure.unit}"), *delta_cells(deltas[measure.key], measure))) for measure in known
    )
    table = Table("Over the frames that both runs have.", (Column("Measure", numeric=False), *_VALUES), rows)
    return Section("measures", "Measures", plots=tuple(plots), tables=(table,))


def class_deltas_section(classes: pd.DataFrame, categories: CategorySet) -> Section | Omission:
    """PQ of each class, from what B wins most to what it loses most.

    Args:
        classes: category_id, a, b, delta, low and high.
        categories: of the ids.
    """
    known = classes[classes["delta"].notna()].sort_values("delta", ascending=False)
    if known.empty:
        return Omission("Classes", "no class was scored in both runs")
    drawn = known.loc[known["delta"].abs().nlargest(DRAWN).index].sort_values("delta", ascending=False)
    caption = _CAPTION if len(drawn) == len(known) else f"{_CAPTION} The {DRAWN} classes that differ most."
    names = [categories.by_id[int(one)].name for one in drawn["category_id"]]
    deltas, lows, highs = (100 * drawn[key].to_numpy(float) for key in ("delta", "low", "high"))
    intervals = Intervals(deltas, lows, highs, np.ones(len(drawn)))
    plot = interval_chart(Labels("deltas-classes", "PQ, percentage points", "", caption), names, intervals)
    columns = (Column("Class", numeric=False), *_VALUES)
    rows = tuple(
        Row((class_cell(categories, int(row["category_id"])), *delta_cells(row, MEASURES[0])))
        for row in known.to_dict("records")
    )
    table = Table("PQ of each class, per cent.", columns, rows, sorted_by=3, wide=False)
    return Section("classes", "Classes", plots=(plot,), tables=(table,))


def delta_cells(row: Mapping[Any, Any], measure: Measure) -> tuple[Cell, ...]:
    """Both values, their difference and its interval; coloured where the difference is sure."""
    a, b, delta, low, high = (measure.factor * float(row[key]) for key in ("a", "b", "delta", "low", "high"))
    return (
        Cell(number(a, measure.digits), a),
        Cell(number(b, measure.digits), b),
        Cell(signed(delta, measure.digits), delta, kind=verdict(low, high, measure)),
        Cell(interval(low, high, measure.digits), high - low),
    )


def interval(low: float, high: float, digits: int) -> str:
    """From ... to."""
    return MISSING if math.isnan(low) else f"{signed(low, digits)} … {signed(high, digits)}"


def verdict(low: float, high: float, measure: Measure) -> str:
    """CSS class of a difference: better, worse, or nothing where zero is in its interval."""
    if low > 0:
        return "better" if measure.more_is_better else "worse"
    if high < 0:
        return "worse" if measure.more_is_better else "better"
    return ""


def _chart(name: str, group: list[Measure], deltas: Mapping[str, Mapping[str, float]]) -> Plot:
    middles, lows, highs = (
        np.array([measure.factor * deltas[measure.key][key] for measure in group]) for key in ("delta", "low", "high")
    )
    directions = np.array([1 if measure.more_is_better else -1 for measure in group])
    unit = "percentage points" if group[0].unit == "%" else group[0].unit
    titles = [measure.title for measure in group]
    return interval_chart(Labels(name, unit, "", _CAPTION), titles, Intervals(middles, lows, highs, directions))
