# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Charts that several sections use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from ciae_ros.replay.report.page import Plot
from ciae_ros.replay.report.svg import BLUE, INK, ORANGE, SERIES, SOFT, SURFACE, draw_svg

HALF_MATRIX = 5.5
"""Side in inches above which a matrix takes the full page width."""
HALF = (4.8, 2.9)
"""Size in inches: half the page width, readable on a phone."""


@dataclass(frozen=True)
class Labels:
    """Labels of a chart."""

    name: str
    """Unique in the page."""
    x: str
    y: str
    caption: str


@dataclass(frozen=True)
class Intervals:
    """Differences with confidence intervals, one element for each bar."""

    deltas: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    directions: np.ndarray
    """1 where higher is better, -1 where lower is better."""


def bar_chart(labels: Labels, names: Sequence[str], values: Sequence[float]) -> Plot:
    """Draw a bar for each name; NaN has none."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.bar(range(len(names)), np.nan_to_num(np.asarray(values, float)), 0.7, color=BLUE)
        for place, value in enumerate(values):
            text, height = ("–", 0.0) if np.isnan(value) else (f"{value:.0f}", value)
            axes.annotate(text, (place, height), (0, 2), textcoords="offset points", ha="center", fontsize=7.5)
        axes.set_xticks(range(len(names)), names)
        axes.grid(visible=False, axis="x")
        _finish(figure, axes, labels, legend=False)

    return Plot(draw_svg(labels.name, draw, HALF, f"{labels.y} by {labels.x}"), labels.caption)


def histogram(labels: Labels, groups: dict[str, np.ndarray], edges: np.ndarray, colors: Sequence[str] = SERIES) -> Plot:
    """Draw overlaid histograms; values beyond the last edge are counted in the last bin."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for color, (group, values) in zip(colors, groups.items(), strict=False):
            counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
            axes.stairs(counts, edges, color=color, fill=True, alpha=0.22)
            axes.stairs(counts, edges, color=color, linewidth=1.4, label=group)
        axes.set_xlim(edges[0], edges[-1])
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        _finish(figure, axes, labels, legend=len(groups) > 1)

    return Plot(draw_svg(labels.name, draw, HALF, f"Distribution of {labels.x}"), labels.caption)


def stacked_bars(labels: Labels, names: Sequence[str], parts: Mapping[str, Sequence[float]]) -> Plot:
    """Draw a stacked horizontal bar for each name."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        left = np.zeros(len(names))
        for number, (part, values) in enumerate(parts.items()):
            widths = np.nan_to_num(np.asarray(values, float))
            axes.barh(names, widths, 0.62, left=left, color=SERIES[number % len(SERIES)], label=part)
            left += widths
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        _finish(figure, axes, labels, legend=True)

    return Plot(draw_svg(labels.name, draw, HALF, f"{labels.x} by part"), labels.caption)


def matrix_chart(labels: Labels, names: Sequence[str], columns: Sequence[str], shares: np.ndarray) -> Plot:
    """Draw shares as shaded cells; cells below half a percent stay empty."""
    side = 2.2 + 0.24 * max(len(names), len(columns))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row, column in zip(*np.nonzero(np.nan_to_num(shares) >= 0.005), strict=True):
            _draw_cell(axes, row, column, float(shares[row, column]))
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
        axes.set_xticks(range(len(columns)), columns, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(labelsize=7.5, length=0)
        axes.grid(linewidth=0.3)
        axes.set(xlabel=labels.x, ylabel=labels.y)

    svg = draw_svg(labels.name, draw, (min(side + 1.2, 11), min(side, 10)), "Confusion matrix")
    return Plot(svg, labels.caption, wide=side > HALF_MATRIX)


def _draw_cell(axes: Any, row: int, column: int, share: float) -> None:
    # A square root makes small confusions visible.
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=BLUE, alpha=0.85 * share**0.5, linewidth=0))
    color = SURFACE if share > 0.4 else INK
    axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=6, color=color)


def _finish(figure: Figure, axes: Any, labels: Labels, *, legend: bool) -> None:
    axes.set(xlabel=labels.x, ylabel=labels.y)
    if legend and axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper left", ncols=4, fontsize=8)


def interval_chart(labels: Labels, names: Sequence[str], intervals: Intervals) -> Plot:
    """Draw differences as bars with confidence intervals: blue is better, orange is worse."""
    colors = np.where(intervals.deltas * intervals.directions > 0, BLUE, ORANGE)
    # Differences whose interval contains zero are faint.
    alphas = np.where((intervals.lows > 0) | (intervals.highs < 0), 0.85, 0.3)
    places = np.arange(len(names))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, color, alpha in zip(places, colors, alphas, strict=True):
            axes.barh(place, intervals.deltas[place], 0.6, color=color, alpha=alpha, linewidth=0)
        axes.hlines(places, intervals.lows, intervals.highs, color=INK, linewidth=1.1)
        axes.axvline(0, color=SOFT, linewidth=1)
        axes.set_yticks(places, names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel=labels.x, ylabel=labels.y)

    size = (HALF[0], 0.75 + 0.24 * len(names))
    return Plot(draw_svg(labels.name, draw, size, f"Differences: {', '.join(names)}"), labels.caption)
