# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Latencies of results."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ciae_ros.replay.metrics.latency import STAGES, WHOLE
from ciae_ros.replay.report.anchors import Anchors
from ciae_ros.replay.report.charts import Labels, histogram, stacked_bars
from ciae_ros.replay.report.formatting import milliseconds
from ciae_ros.replay.report.page import Cell, Column, Omission, Plot, Row, Section, Table
from ciae_ros.replay.report.svg import BLUE
from ciae_ros.replay.report.time_plots import TimeCurve, time_plot

AHEAD = "decode"
"""Stage that overlaps with earlier frames and is not part of the latency."""
_TITLES = {WHOLE: "total", AHEAD: "decode (ahead)"}
_COLUMNS = {"p50": "p50", "p90": "p90", "p99": "p99", "mean": "Mean"}


def latency_section(frames: pd.DataFrame, latencies: pd.DataFrame, anchors: Anchors) -> Section | Omission:
    """Build the section with latencies from the input of a frame to its result.

    Args:
        frames: table of frames.
        latencies: a row for each stage and one for the whole, with p50, p90, p99 and mean in seconds.
        anchors: anchors of the frames in the page.
    """
    values = 1e3 * frames["latency"].dropna().to_numpy(float)
    if not len(values):
        return Omission("Latency", "no frame has a result")
    stages = [stage for stage in STAGES if stage in latencies.index and np.isfinite(latencies.loc[stage, "p50"])]
    plots = [_distribution(values)]
    parts = [stage for stage in stages if stage != AHEAD]
    if parts:
        plots.append(_stages(latencies, parts))
    curve = TimeCurve("latency", "latency, ms", 1e3, write="{:.1f} ms".format)
    plots.append(time_plot(frames, curve, anchors, "Latency of each frame; line: running mean."))
    table = _table(latencies, [WHOLE, *stages])
    return Section("latency", "Latency", () if parts else (_STAGES_UNSEEN,), tuple(plots), (table,))


_STAGES_UNSEEN = (
    "Through the node, latency is measured from publishing an image to receiving its result; stages cannot be observed."
)


def _stages(latencies: pd.DataFrame, stages: list[str]) -> Plot:
    rows = list(_COLUMNS)
    parts = {stage: [1e3 * latencies.loc[stage, name] for name in rows] for stage in stages}
    caption = (
        "Times of the stages. Percentiles of stages do not add up to the percentile of the total, as different frames "
        "may be slow in different stages."
    )
    return stacked_bars(Labels("stages", "ms", "", caption), [_COLUMNS[name].lower() for name in rows], parts)


def _distribution(values: np.ndarray) -> Plot:
    # Outliers would squeeze all other frames into one bar.
    most = max(float(np.percentile(values, 99.5)) * 1.05, float(values.min()) * 1.1, 1e-3)
    edges = np.linspace(0.9 * float(values.min()), most, 41)
    labels = Labels("latencies", "latency, ms", "frames", "The last bar includes all slower frames.")
    return histogram(labels, {"": values}, edges, (BLUE,))


def _table(latencies: pd.DataFrame, names: list[str]) -> Table:
    columns = (Column("Stage", numeric=False), *(Column(f"{title}, ms") for title in _COLUMNS.values()))
    whole = float(latencies.loc["latency", "mean"])
    rows = []
    for name in names:
        times = {column: float(latencies.loc[name, column]) for column in _COLUMNS}
        cells = [Cell(milliseconds(value), value) for value in times.values()]
        share = times["mean"] / whole if name not in ("latency", AHEAD) and whole > 0 else None
        cells[-1] = Cell(cells[-1].text, cells[-1].value, share)
        rows.append(Row((Cell(_TITLES.get(name, name)), *cells)))
    return Table("Times of the stages; bars: share of the mean latency.", columns, tuple(rows))
