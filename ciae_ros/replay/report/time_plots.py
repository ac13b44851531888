# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Plots over time, with a row for each bag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ciae_ros.replay.report.anchors import Anchors, frame_title
from ciae_ros.replay.report.page import Plot
from ciae_ros.replay.report.svg import INK, SERIES, draw_svg

BAGS = 8
"""Maximum number of bags in one figure."""


@dataclass(frozen=True)
class TimeCurve:
    """A curve over time."""

    column: str
    """Column of the frame table."""
    label: str
    factor: float = 1.0
    """Factor from the table's unit to that of the label."""
    write: Callable[[float], str] = "{:.1f}".format
    """Formats a value for the tooltip, in the label's unit."""


def time_plot(
    frames: pd.DataFrame, curve: TimeCurve, anchors: Anchors, caption: str, means: pd.DataFrame | None = None
) -> Plot:
    """Plot a point for each frame, which links to it, and a line of means.

    Args:
        frames: frames of the run.
        curve: the curve to plot.
        anchors: anchors of the frames in the page.
        caption: caption of the figure.
        means: table of the line with bag, time and the curve's column; None for a running mean of the points.
    """
    known = frames[np.isfinite(frames[curve.column]) & np.isfinite(frames["time"])]
    bags = list(dict.fromkeys(known["bag"]))
    shown = bags[:BAGS]
    titles = _titles(known, curve, anchors)

    def draw(figure: Figure) -> None:
        rows = figure.subplots(len(shown), 1, squeeze=False, sharey=True)[:, 0]
        for axes, bag in zip(rows, shown, strict=True):
            own = None if means is None else means[means["bag"] == bag]
            _draw_sequence(axes, known[known["bag"] == bag], curve, anchors, own, len(shown))
        rows[-1].set_xlabel("time in the sequence, s")

    if len(bags) > len(shown):
        caption += f" The first {len(shown)} of {len(bags)} bags are drawn."
    height = 0.7 + 1.35 * len(shown) if len(shown) > 1 else 2.5
    name = f"time-{curve.column}"
    return Plot(draw_svg(name, draw, (9.6, height), f"{curve.label} over time", titles), caption, wide=True)


def _titles(frames: pd.DataFrame, curve: TimeCurve, anchors: Anchors) -> dict[str, str]:
    several = frames["topic"].nunique() > 1
    records: Sequence[dict[str, Any]] = frames[["bag", "topic", "index", curve.column]].to_dict("records")
    return {
        anchors.of(row): f"{frame_title(record, several)}: {curve.write(curve.factor * record[curve.column])}"
        for row, record in zip(frames.index, records, strict=True)
        if anchors.of(row)
    }


def _draw_sequence(
    axes: Any, frames: pd.DataFrame, curve: TimeCurve, anchors: Anchors, means: pd.DataFrame | None, bags: int
) -> None:
    topics = list(dict.fromkeys(frames["topic"]))
    for number, topic in enumerate(topics):
        color = SERIES[number % len(SERIES)]
        own = frames[frames["topic"] == topic].sort_values("time")
        rows = anchors.plotted(np.sort(own.index.to_numpy()), bags * len(topics))
        points = own.loc[rows]
        values = curve.factor * points[curve.column]
        marks = axes.scatter(points["time"], values, s=11, color=color, alpha=0.45, linewidths=0, label=topic)
        marks.set_urls([anchors.url(row) for row in rows])
        if means is None:
            axes.plot(own["time"], curve.factor * _running_mean(own["time"], own[curve.column]), color=color)
    if means is not None:
        color = SERIES[0] if len(topics) == 1 else INK
        axes.plot(means["time"], curve.factor * means[curve.column], color=color)
    axes.set_title(frames["bag"].iloc[0])
    axes.set_ylabel(curve.label)
    axes.set_ylim(0)
    axes.margins(x=0.01)
    if len(topics) > 1:
        axes.legend(ncols=len(topics), loc="lower right", bbox_to_anchor=(1, 1), fontsize=7.5)


def _running_mean(times: pd.Series, values: pd.Series) -> np.ndarray:
    """Average over about a twentieth of the frames; the line is broken at gaps."""
    window = max(3, len(values) // 20)
    line = values.rolling(window, center=True, min_periods=1).mean().to_numpy().copy()
    steps = np.diff(times.to_numpy())
    if len(steps):
        line[1:][steps > max(1.0, 10 * float(np.median(steps)))] = np.nan
    return line
