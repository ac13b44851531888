# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Quality broken down by size, position, time and class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ciae_ros.inference import CategorySet
from ciae_ros.replay.metrics.quality import mean_pq
from ciae_ros.replay.metrics.run_tables import KEY

SIZES = (("small", 0, 32**2), ("medium", 32**2, 96**2), ("large", 96**2, np.inf))
"""Size ranges of COCO, by area in pixels."""


def by_size(segments: pd.DataFrame) -> pd.DataFrame:
    """Compute PQ (averaged over classes) of segments by area: size, pq, count.

    For matched and missed segments the area is that of the true segment, for wrong ones their own.
    """
    rows = []
    for size, low, high in SIZES:
        chosen = segments[(segments["area"] >= low) & (segments["area"] < high)]
        rows.append({"size": size, "pq": mean_pq(chosen), "count": len(chosen)})
    return pd.DataFrame(rows)


def by_distance(segments: pd.DataFrame, bins: int = 5) -> pd.DataFrame:
    """Compute PQ by the distance of centroids from the image centre: low, high (1 is a corner), pq, count."""
    edges = np.linspace(0, 1, bins + 1)
    number = np.clip((segments["distance"] * bins).fillna(0).astype(int), 0, bins - 1)
    chosen = [segments[number == one] for one in range(bins)]
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "pq": [mean_pq(one) for one in chosen],
            "count": [len(one) for one in chosen],
        }
    )


def over_time(frames: pd.DataFrame, segments: pd.DataFrame, bins: int = 20) -> pd.DataFrame:
    """Compute PQ over time for each bag: bag, time (mean of the frames in seconds), pq.

    The duration of each bag is divided into `bins` equal parts; parts without ground truth are omitted.
    """
    scored = frames[frames["has_truth"]]
    rows = []
    for bag, of_bag in scored.groupby("bag", sort=False):
        span = max(float(of_bag["time"].max()), 1e-9)
        part = np.minimum((of_bag["time"] / span * bins).astype(int), bins - 1)
        of_segments = segments.merge(of_bag[KEY].assign(part=part), on=KEY)
        for number, chosen in of_segments.groupby("part"):
            rows.append({"bag": bag, "time": float(of_bag["time"][part == number].mean()), "pq": mean_pq(chosen)})
    return pd.DataFrame(rows, columns=["bag", "time", "pq"])


def confusion_matrix(confusion: pd.DataFrame, categories: CategorySet) -> pd.DataFrame:
    """Compute the confusion matrix: shares of each true class's pixels (rows) by predicted class (columns).

    Rows and columns are category ids in the order of the categories; 0 is unlabelled. Absent classes are omitted.
    """
    pixels = confusion.groupby(["true_id", "predicted_id"])["pixels"].sum().unstack(fill_value=0)
    order = [one.id for one in categories.categories]
    rows = [one for one in order if one in pixels.index]
    columns = [one for one in [*order, 0] if one in pixels.columns]
    ordered = pixels.loc[rows, columns]
    return ordered.div(ordered.sum(axis=1), axis=0)
