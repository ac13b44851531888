# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""STQ and VPQ: metrics of tubes, the pixels of an object in all frames of a sequence or of a window of it.

STQ is that of Weber et al., STEP: Segmenting and Tracking Every Pixel, NeurIPS Datasets and Benchmarks 2021, as its
reference implementation (deeplab2) computes it. VPQ is that of Kim et al., Video Panoptic Segmentation, CVPR 2020.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from ciae_ros.replay.metrics.matching import MATCHING_IOU, MAX_IGNORED_SHARE
from ciae_ros.replay.metrics.overlaps import FRAME, SEQUENCE
from ciae_ros.replay.metrics.quality import class_scores

WINDOWS = (1, 2, 3, 4)
"""Numbers of consecutive frames with ground truth in the windows of VPQ."""
TRUE_TUBE = [*SEQUENCE, "true_id", "true_track"]
PREDICTED_TUBE = [*SEQUENCE, "predicted_id", "predicted_track"]


class TrackingQuality(NamedTuple):
    """Segmentation and tracking quality, 0 to 1."""

    stq: float
    """Geometric mean of the other two."""
    association: float
    """AQ: how well the pixels of each true object have one and the same id."""
    segmentation: float
    """SQ: mean IoU of the categories, of things and of stuff."""


def segmentation_and_tracking_quality(overlaps: pd.DataFrame) -> TrackingQuality:
    """Compute STQ over all sequences; NaN without tracked things.

    Args:
        overlaps: result of `with_things`.
    """
    true = overlaps[overlaps["true_thing"]]
    # Pixels on true things without a track say nothing about ids; those on void do, as in the reference.
    predicted = overlaps[overlaps["predicted_thing"] & ~overlaps["ignored"]]
    true_area = true.groupby(TRUE_TUBE)["pixels"].sum().rename("true_area")
    predicted_area = predicted.groupby(PREDICTED_TUBE)["pixels"].sum().rename("predicted_area")
    both = true[true["predicted_thing"]].groupby([*TRUE_TUBE, "predicted_id", "predicted_track"])["pixels"].sum()
    pairs = both.reset_index().join(true_area, on=TRUE_TUBE).join(predicted_area, on=PREDICTED_TUBE)
    common = pairs["pixels"].astype(float)
    iou = common / (pairs["true_area"] + pairs["predicted_area"] - common)
    association = float((common * iou / pairs["true_area"]).sum() / len(true_area)) if len(true_area) else np.nan
    segmentation = _mean_iou(overlaps)
    return TrackingQuality(float(np.sqrt(association * segmentation)), association, segmentation)


def _mean_iou(overlaps: pd.DataFrame) -> float:
    labelled = overlaps[overlaps["true_id"] > 0]
    true = labelled.groupby("true_id")["pixels"].sum()
    predicted = labelled.groupby("predicted_id")["pixels"].sum()
    common = labelled[labelled["true_id"] == labelled["predicted_id"]].groupby("true_id")["pixels"].sum()
    union = true.add(predicted, fill_value=0).sub(common, fill_value=0).drop(0, errors="ignore")
    return float(common.reindex(union.index, fill_value=0).div(union).mean())


def video_panoptic_quality(overlaps: pd.DataFrame) -> dict[int, float]:
    """Compute the VPQ of each length of windows, 0 to 1; the VPQ is their mean. NaN where no window is so long.

    Args:
        overlaps: result of `with_things`.
    """
    found = {}
    for length in WINDOWS:
        parts = [_window_scores(rows, length) for _, rows in overlaps.groupby(SEQUENCE, sort=False)]
        sums = pd.concat(parts).groupby(level=0).sum() if parts else pd.DataFrame()
        found[length] = (
            float(np.nanmean(class_scores(*(sums[name] for name in _COUNTS))["pq"])) if len(sums) else np.nan
        )
    return found


_COUNTS = ("tp", "fp", "fn", "iou")


def _window_scores(rows: pd.DataFrame, length: int) -> pd.DataFrame:
    """Return tp, fp, fn and the sum of the IoU of true positives, by category, over all windows of one sequence."""
    windows = _in_windows(rows, length)
    windows = windows.groupby(
        ["window", "true", "predicted", "true_id", "predicted_id", "void", "crowd"], as_index=False
    )
    windows = windows["pixels"].sum()
    true_area = windows.groupby(["window", "true"])["pixels"].sum().rename("true_area")
    by_prediction = windows.groupby(["window", "predicted"])["pixels"].sum().rename("predicted_area")
    void = windows[windows["void"]].groupby(["window", "predicted"])["pixels"].sum().rename("void_area")
    same = windows[(windows["true_id"] == windows["predicted_id"]) & (windows["predicted_id"] > 0) & ~windows["crowd"]]
    pairs = same.join(true_area, on=["window", "true"]).join(by_prediction, on=["window", "predicted"])
    pairs = pairs.join(void, on=["window", "predicted"]).fillna({"void_area": 0})
    iou = pairs["pixels"] / (pairs["true_area"] + pairs["predicted_area"] - pairs["pixels"] - pairs["void_area"])
    matched = pairs.assign(iou=iou)[iou > MATCHING_IOU]
    is_true = ~windows["void"] & ~windows["crowd"]
    true = windows[is_true].drop_duplicates(["window", "true"])
    predicted = windows[windows["predicted_id"] > 0].drop_duplicates(["window", "predicted"])
    ignored = windows[windows["void"] | (windows["crowd"] & (windows["true_id"] == windows["predicted_id"]))]
    ignored_area = ignored.groupby(["window", "predicted"])["pixels"].sum().rename("ignored_area")
    unmatched = predicted.merge(matched[["window", "predicted"]], how="left", indicator=True)
    unmatched = unmatched[unmatched["_merge"] == "left_only"].join(by_prediction, on=["window", "predicted"])
    unmatched = unmatched.join(ignored_area, on=["window", "predicted"]).fillna({"ignored_area": 0})
    wrong = unmatched[unmatched["ignored_area"] <= MAX_IGNORED_SHARE * unmatched["predicted_area"]]
    tp = matched.groupby("true_id").size()
    return pd.DataFrame(
        {
            "tp": tp,
            "fp": wrong.groupby("predicted_id").size(),
            "fn": true.groupby("true_id").size().sub(tp, fill_value=0),
            "iou": matched.groupby("true_id")["iou"].sum(),
        }
    ).fillna(0)


def _in_windows(rows: pd.DataFrame, length: int) -> pd.DataFrame:
    """Repeat the rows of a sequence for each window that contains their frame, with numbers of tubes.

    Tubes are numbered by category and track; void and unlabelled pixels, and all crowds of a category, are one each.
    """
    frame = rows.groupby(FRAME).ngroup().to_numpy()
    crowd = rows["ignored"] | rows["is_crowd"]
    tubes = rows.assign(
        void=rows["true_id"] == 0,
        crowd=crowd,
        true=_numbered(rows["true_id"], rows["true_track"].where(~crowd, -1)),
        predicted=_numbered(rows["predicted_id"], rows["predicted_track"]),
    )
    last = frame.max() - length + 1
    parts = [tubes.assign(window=frame - shift)[(frame >= shift) & (frame - shift <= last)] for shift in range(length)]
    return pd.concat(parts)


def _numbered(category: pd.Series, track: pd.Series) -> np.ndarray:
    numbers: np.ndarray = pd.MultiIndex.from_arrays([category, track]).factorize()[0]
    return numbers
