"""How steady the results are from frame to frame."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ciae_ros.replay.report.anchors import Anchors
from ciae_ros.replay.report.charts import Labels, histogram
from ciae_ros.replay.report.formatting import percent
from ciae_ros.replay.report.page import Omission, Section
from ciae_ros.replay.report.svg import VIOLET
from ciae_ros.replay.report.time_plots import TimeCurve, time_plot


def stability_section(frames: pd.DataFrame, anchors: Anchors) -> Section | Omission:
    """Pixels whose class differs from the frame before, in the course of the drives and as a distribution."""
    changed = frames["changed"].dropna().to_numpy(float)
    if not len(changed):
        return Omission("Stability", "no two frames follow each other closely enough to be compared")
    curve = TimeCurve("changed", "changed, %", 100.0, write="{:.1f} %".format)
    over_time = time_plot(frames, curve, anchors, "Share of the pixels compared whose class changed; line: running mean.")
    edges = np.linspace(0, max(1.0, 100 * float(np.percentile(changed, 99.5))), 31)
    labels = Labels("changed", "changed, %", "frames", "The same as a distribution; the last bar has what is beyond it.")
    text = (
        f"A pixel's class is compared with that of the frame before after the camera's and the objects' movement has "
        f"been taken out (optical flow). On average {percent(float(changed.mean()))} % of the pixels change; in one "
        f"frame of twenty more than {percent(float(np.percentile(changed, 95)))} % do."
    )
    return Section("stability", "Stability", (text,), (over_time, histogram(labels, {"": 100 * changed}, edges, (VIOLET,))))
