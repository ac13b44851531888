# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Differences between two runs, by metric and by class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ciae_ros.inference import CategorySet
from ciae_ros.replay.metrics.paired_comparison import BLOCK
from ciae_ros.replay.report.charts import Intervals, Labels, interval_chart
from ciae_ros.replay.report.formatting import MISSING, number, signed
from ciae_ros.replay.report.page import Cell, Column, Omission, Plot, Row, Section, Table
from ciae_ros.replay.report.sections.quality_section import class_cell


@dataclass(frozen=True)
class Metric:
    """Presentation of a metric."""

    key: str
    title: str
    unit: str
    factor: float
    """Factor from the comparison's unit to this unit."""
    digits: int = 1
    more_is_better: bool = True


METRICS = (
    Metric("pq", "PQ", "%", 100),
    Metric("pq_things", "PQ things", "%", 100),
    Metric("pq_stuff", "PQ stuff", "%", 100),
    Metric("miou", "mIoU", "%", 100),
    Metric("changed", "Temporal change", "%", 100, 2, more_is_better=False),
    Metric("latency_p50", "Latency p50", "ms", 1e3, more_is_better=False),
    Metric("latency_p99", "Latency p99", "ms", 1e3, more_is_better=False),
)
_INTERVAL = Column("95 % interval", meaning=f"bootstrap over blocks of {BLOCK:g} s")
_VALUES = (Column("A"), Column("B"), Column("B − A"), _INTERVAL)
DRAWN = 40
"""Maximum number of classes in the chart; the table lists all."""
_CAPTION = (
    "B − A with 95 % confidence intervals (lines): blue where B is better, orange where it is worse, faint where the "
    "interval contains zero."
)


def metrics_section(deltas: Mapping[str, Mapping[str, float]]) -> Section | Omission:
    """Build the section with the metrics that both runs have.

    Args:
        deltas: by measure: a, b, delta, low and high.
    """
    known = [metric for metric in METRICS if metric.key in deltas and not math.isnan(deltas[metric.key]["delta"])]
    if not known:
        return Omission("Metrics", "the two runs have no frame in common")
    plots = []
    for unit in ("%", "ms"):
        group = [metric for metric in known if metric.unit == unit]
        if group:
            plots.append(_chart(f"deltas-{'ms' if unit == 'ms' else 'share'}", group, deltas))
    rows = tuple(
        Row((Cell(f"{metric.title}, {metric.unit}"), *delta_cells(deltas[metric.key], metric))) for metric in known
    )
    table = Table("Over the frames that both runs have.", (Column("Metric", numeric=False), *_VALUES), rows)
    return Section("metrics", "Metrics", plots=tuple(plots), tables=(table,))


def class_deltas_section(classes: pd.DataFrame, categories: CategorySet) -> Section | Omission:
    """Build the section with the PQ of each class, sorted by difference.

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
        Row((class_cell(categories, int(row["category_id"])), *delta_cells(row, METRICS[0])))
        for row in known.to_dict("records")
    )
    table = Table("PQ of each class, per cent.", columns, rows, sorted_by=3, wide=False)
    return Section("classes", "Classes", plots=(plot,), tables=(table,))


def delta_cells(row: Mapping[Any, Any], metric: Metric) -> tuple[Cell, ...]:
    """Return cells with both values, their difference (coloured if significant) and its interval."""
    a, b, delta, low, high = (metric.factor * float(row[key]) for key in ("a", "b", "delta", "low", "high"))
    return (
        Cell(number(a, metric.digits), a),
        Cell(number(b, metric.digits), b),
        Cell(signed(delta, metric.digits), delta, kind=verdict(low, high, metric)),
        Cell(interval(low, high, metric.digits), high - low),
    )


def interval(low: float, high: float, digits: int) -> str:
    """Format an interval."""
    return MISSING if math.isnan(low) else f"{signed(low, digits)} … {signed(high, digits)}"


def verdict(low: float, high: float, metric: Metric) -> str:
    """Return the CSS class of a difference: better, worse, or empty if its interval contains zero."""
    if low > 0:
        return "better" if metric.more_is_better else "worse"
    if high < 0:
        return "worse" if metric.more_is_better else "better"
    return ""


def _chart(name: str, group: list[Metric], deltas: Mapping[str, Mapping[str, float]]) -> Plot:
    middles, lows, highs = (
        np.array([metric.factor * deltas[metric.key][key] for metric in group]) for key in ("delta", "low", "high")
    )
    directions = np.array([1 if metric.more_is_better else -1 for metric in group])
    unit = "percentage points" if group[0].unit == "%" else group[0].unit
    titles = [metric.title for metric in group]
    return interval_chart(Labels(name, unit, "", _CAPTION), titles, Intervals(middles, lows, highs, directions))
