# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Temporal stability of the results."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ciae_ros.replay.report.anchors import Anchors
from ciae_ros.replay.report.charts import Labels, histogram
from ciae_ros.replay.report.formatting import number, percent
from ciae_ros.replay.report.page import Cell, Column, Omission, Row, Section, Table
from ciae_ros.replay.report.svg import VIOLET
from ciae_ros.replay.report.time_plots import TimeCurve, time_plot


def stability_section(frames: pd.DataFrame, anchors: Anchors) -> Section | Omission:
    """Build the section with changed pixels over time and as a distribution."""
    changed = frames["changed"].dropna().to_numpy(float)
    if not len(changed):
        return Omission("Stability", "no two frames follow each other closely enough to be compared")
    curve = TimeCurve("changed", "changed, %", 100.0, write="{:.1f} %".format)
    over_time = time_plot(
        frames, curve, anchors, "Share of the pixels compared whose class changed; line: running mean."
    )
    edges = np.linspace(0, max(1.0, 100 * float(np.percentile(changed, 99.5))), 31)
    labels = Labels("changed", "changed, %", "frames", "Distribution of the same; the last bar includes larger values.")
    text = (
        f"A pixel's class is compared with that of the previous frame after motion compensation by optical flow. On "
        f"average {percent(float(changed.mean()))} % of the pixels change; in one "
        f"frame of twenty more than {percent(float(np.percentile(changed, 95)))} % do."
    )
    distribution = histogram(labels, {"": 100 * changed}, edges, (VIOLET,))
    return Section("stability", "Stability", (text,), (over_time, distribution), (_bags(frames),))


def _bags(frames: pd.DataFrame) -> Table:
    columns = (
        Column("Bag", numeric=False),
        Column("Frames compared"),
        Column("Mean, %", meaning="of the pixels, changed"),
        Column("p95, %", meaning="one frame of twenty has more"),
    )
    rows = []
    for bag, changed in frames.dropna(subset="changed").groupby("bag", sort=False)["changed"]:
        shares = (float(changed.mean()), float(changed.quantile(0.95)))
        amount = Cell(number(len(changed)), len(changed))
        rows.append(Row((Cell(str(bag)), amount, *(Cell(percent(share), share) for share in shares))))
    return Table("Pixels that change class, bag by bag.", columns, tuple(rows), wide=False)
