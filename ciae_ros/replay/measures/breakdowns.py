# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Where the quality is lost: by size, place, time and class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ciae_ros.inference import CategorySet
from ciae_ros.replay.measures.quality import mean_pq
from ciae_ros.replay.measures.tables import KEY

SIZES = (("small", 0, 32**2), ("medium", 32**2, 96**2), ("large", 96**2, np.inf))
"""COCO's, in pixels of area."""


def by_size(segments: pd.DataFrame) -> pd.DataFrame:
    """PQ (averaged over classes) of segments by their area: size, pq, count.

    A matched or missed segment has the true one's area, a wrong one its own.
    """
    rows = []
    for size, low, high in SIZES:
        chosen = segments[(segments["area"] >= low) & (segments["area"] < high)]
        rows.append({"size": size, "pq": mean_pq(chosen), "count": len(chosen)})
    return pd.DataFrame(rows)


def by_distance(segments: pd.DataFrame, bins: int = 5) -> pd.DataFrame:
    """PQ of segments by how far their centroid is from the image's centre: low, high (1 is a corner), pq, count."""
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
    """PQ in the course of each drive: bag, time (mean of the frames', in seconds), pq.

    Each drive's duration is divided into `bins` equal parts; a part without a frame that has ground truth is left out.
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
    """Shares of each true class's pixels, by true (rows) and predicted (columns; 0 is unlabelled) category id.

    Rows and columns are in the order of the categories; classes that do not occur have none.
    """
    pixels = confusion.groupby(["true_id", "predicted_id"])["pixels"].sum().unstack(fill_value=0)
    order = [one.id for one in categories.categories]
    rows = [one for one in order if one in pixels.index]
    columns = [one for one in [*order, 0] if one in pixels.columns]
    ordered = pixels.loc[rows, columns]
    return ordered.div(ordered.sum(axis=1), axis=0)
