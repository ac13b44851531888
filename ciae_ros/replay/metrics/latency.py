# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Latencies of results, and gaps between frames."""

from __future__ import annotations

import pandas as pd

WHOLE = "latency"
STAGES = ("decode", "preprocess", "network", "proposals", "fusion", "download")
"""Stages in order."""
GAP = 1.5
"""Factor on the median interval between frames of a topic; a longer interval is a gap."""


def latency_table(frames: pd.DataFrame) -> pd.DataFrame:
    """Compute p50, p90, p99 and mean in seconds, for the total and each stage; NaN where not measured."""
    times = frames[[WHOLE, *STAGES]]
    return pd.DataFrame(
        {
            **{name: times.quantile(share) for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))},
            "mean": times.mean(),
        }
    )


def gaps(frames: pd.DataFrame) -> pd.DataFrame:
    """Find gaps in the stamps of each topic: bag, topic, time (of the preceding frame), seconds."""
    rows = []
    for (bag, topic), of_topic in frames.groupby(["bag", "topic"], sort=False):
        times = of_topic.sort_values("index")["time"]
        distances = times.diff().shift(-1)
        usual = distances[distances > 0].median()
        rows += [
            {"bag": bag, "topic": topic, "time": times[index], "seconds": distances[index]}
            for index in distances[distances > GAP * usual].index
        ]
    return pd.DataFrame(rows, columns=["bag", "topic", "time", "seconds"])
