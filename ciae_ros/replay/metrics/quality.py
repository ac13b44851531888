# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""PQ and IoU of table rows, as defined by the official evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ciae_ros.inference import CategorySet
from ciae_ros.replay.metrics.matching import FN, FP, TP


@dataclass(frozen=True)
class MeanQuality:
    """PQ, SQ and RQ averaged over the classes that occur; NaN if there are none."""

    pq: float
    sq: float
    rq: float


def quality(segments: pd.DataFrame, categories: CategorySet) -> pd.DataFrame:
    """Compute the PQ of each class.

    Args:
        segments: rows of the segment table.
        categories: categories of the ids.

    Returns:
        One row for each category: category_id, name, is_thing, tp, fp, fn, iou_sum, and pq, sq, rq, which are NaN where
        the class does not occur.
    """
    table = pd.DataFrame(
        {
            "category_id": [one.id for one in categories.categories],
            "name": [one.name for one in categories.categories],
            "is_thing": [one.is_thing for one in categories.categories],
        }
    )
    of_class = segments.groupby(["category_id", "outcome"])["iou"].agg(["size", "sum"])
    for outcome in (TP, FP, FN):
        table[outcome] = [_cell(of_class, one, outcome, "size") for one in table["category_id"]]
    table["iou_sum"] = [float(_cell(of_class, one, TP, "sum")) for one in table["category_id"]]
    return table.assign(**class_scores(table["tp"], table["fp"], table["fn"], table["iou_sum"]))


def class_scores(tp: Any, fp: Any, fn: Any, iou_sum: Any) -> dict[str, np.ndarray]:
    """Compute pq, sq and rq from arrays of counts of any shape; NaN where all are 0."""
    counts = [np.asarray(one, float) for one in (tp, fp, fn, iou_sum)]
    weight = counts[0] + 0.5 * counts[1] + 0.5 * counts[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        pq, rq = counts[3] / weight, counts[0] / weight
        sq = np.where(counts[0] > 0, counts[3] / counts[0], np.where(weight > 0, 0.0, np.nan))
    return {"pq": pq, "sq": sq, "rq": rq}


def summary_quality(per_class: pd.DataFrame, which: Literal["all", "things", "stuff"] = "all") -> MeanQuality:
    """Average the quality over classes.

    Args:
        per_class: result of `quality`.
        which: classes to average over.
    """
    chosen = per_class if which == "all" else per_class[per_class["is_thing"] == (which == "things")]
    occurring = chosen[chosen["pq"].notna()]
    if occurring.empty:
        return MeanQuality(np.nan, np.nan, np.nan)
    pq, sq, rq = (float(occurring[name].mean()) for name in ("pq", "sq", "rq"))
    return MeanQuality(pq, sq, rq)


def mean_pq(segments: pd.DataFrame) -> float:
    """Compute the PQ over all classes in these rows; NaN if there are none."""
    counted = segments[segments["outcome"].isin((TP, FP, FN))]
    if counted.empty:
        return np.nan
    weights = np.where(counted["outcome"] == TP, 1.0, 0.5)
    sums = counted.assign(weight=weights).groupby("category_id")[["iou", "weight"]].sum()
    return float((sums["iou"] / sums["weight"]).mean())


def per_class_iou(confusion: pd.DataFrame, categories: CategorySet) -> pd.Series:
    """Compute the IoU of each class over all frames, by category id; NaN for classes that do not occur."""
    ids = [one.id for one in categories.categories]
    right = confusion["true_id"] == confusion["predicted_id"]
    common, true, predicted = (
        rows.groupby(name)["pixels"].sum().reindex(ids, fill_value=0)
        for rows, name in ((confusion[right], "true_id"), (confusion, "true_id"), (confusion, "predicted_id"))
    )
    union = true + predicted - common
    return (common / union.where(union > 0)).astype(float)


def mean_iou(confusion: pd.DataFrame, categories: CategorySet) -> float:
    """Compute the mean IoU over classes in the ground truth or the results; NaN if there are none."""
    return float(per_class_iou(confusion, categories).mean())


def _cell(table: pd.DataFrame, category_id: int, outcome: str, column: str) -> int | float:
    return table[column].get((category_id, outcome), 0)
