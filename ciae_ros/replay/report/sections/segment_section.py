# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Segments, scores and unlabelled pixels of the results."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ciae_ros.replay.report.anchors import Anchors
from ciae_ros.replay.report.charts import Labels, histogram
from ciae_ros.replay.report.formatting import number, percent
from ciae_ros.replay.report.page import Omission, Plot, Section
from ciae_ros.replay.report.svg import BLUE, GREEN, ORANGE, TEAL, VIOLET
from ciae_ros.replay.report.time_plots import TimeCurve, time_plot

SCORE_EDGES = np.linspace(0, 1, 21)


def segments_section(frames: pd.DataFrame, segments: pd.DataFrame, anchors: Anchors) -> Section | Omission:
    """Build the section with segment counts, score distribution and unlabelled share."""
    answered = frames[frames["problem"] == ""]
    if answered.empty:
        return Omission("Segments and scores", "no frame has a result")
    plots = [_counts(answered)]
    scores = _scores(segments)
    if scores is not None:
        plots.append(scores)
    curve = TimeCurve("unlabelled", "unlabelled, %", 100.0, write="{:.1f} %".format)
    plots.append(time_plot(answered, curve, anchors, "Share of each frame's pixels that belong to no segment."))
    text = (
        f"{number(answered['segments'].mean(), 1)} segments in a frame, {number(answered['things'].mean(), 1)} of them "
        f"things; {percent(answered['unlabelled'].mean())} % of the pixels belong to none."
    )
    return Section("segments", "Segments and scores", (text,), tuple(plots))


def _counts(frames: pd.DataFrame) -> Plot:
    groups = {"things": frames["things"].to_numpy(float), "all segments": frames["segments"].to_numpy(float)}
    most = int(max(values.max() for values in groups.values()))
    step = max(1, most // 40)
    edges = np.arange(0, most + 1 + step, step) - 0.5
    labels = Labels("counts", "segments in a frame", "frames", "How many segments a frame's result has.")
    return histogram(labels, groups, edges, (TEAL, VIOLET))


def _scores(segments: pd.DataFrame) -> Plot | None:
    predicted = segments[segments["is_thing"].astype(bool) & segments["score"].notna()]
    outcomes = predicted["outcome"]
    if predicted.empty:
        return None
    if outcomes.isin(["tp", "fp"]).any():
        names = {"right (tp)": "tp", "wrong (fp)": "fp"}
        caption = "Detection scores of things that match a true one, and of those that match none."
    else:
        names = {"things": "unscored"}
        caption = "Detection scores of all things found; without ground truth nothing says which are right."
    groups = {label: predicted.loc[outcomes == outcome, "score"].to_numpy(float) for label, outcome in names.items()}
    labels = Labels("scores", "score", "things", caption)
    return histogram(labels, groups, SCORE_EDGES, (GREEN, ORANGE) if len(groups) > 1 else (BLUE,))
