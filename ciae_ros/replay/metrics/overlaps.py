# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Overlaps of true and predicted segments: the rows from which all metrics of tracking are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ciae_ros.core.categories import CategorySet
from ciae_ros.core.result import PanopticResult
from ciae_ros.replay.bags.types import TrueSegments

FRAME = ["bag", "topic", "index"]
SEQUENCE = ["bag", "topic"]


def overlap_rows(result: PanopticResult, truth: TrueSegments, pixels: np.ndarray) -> list[dict[str, Any]]:
    """Return a row for each pair of a true and a predicted segment with common pixels.

    Args:
        result: result of a frame.
        truth: ground truth of the frame.
        pixels: (T + 1, P + 1) common pixels, by the number of the true and the id of the predicted segment; row and
            column 0 are void and unlabelled.
    """
    return [
        {
            **_true_columns(truth, int(number)),
            **_predicted_columns(result, int(segment)),
            "pixels": int(pixels[number, segment]),
        }
        for number, segment in zip(*np.nonzero(pixels), strict=True)
    ]


def _true_columns(truth: TrueSegments, number: int) -> dict[str, Any]:
    if number == 0:
        return {"true_number": 0, "true_id": 0, "true_track": 0, "is_crowd": False}
    one = truth.segments[number - 1]
    return {
        "true_number": number,
        "true_id": one.category_id,
        "true_track": one.track_id,
        "is_crowd": one.is_crowd,
    }


def _predicted_columns(result: PanopticResult, segment_id: int) -> dict[str, Any]:
    if segment_id == 0:
        return {"segment": 0, "predicted_id": 0, "predicted_track": 0}
    one = result.segments[segment_id - 1]
    return {"segment": segment_id, "predicted_id": one.category.id, "predicted_track": one.track_id}


def with_things(overlaps: pd.DataFrame, categories: CategorySet) -> pd.DataFrame:
    """Add columns that say which rows are of true things with and without a track, and of predicted things.

    True things without a track, such as crowds, are ignored in the evaluation of identities.

    Args:
        overlaps: rows of the table of overlaps.
        categories: categories of the ids.

    Returns:
        The rows with the boolean columns `true_thing`, `ignored` and `predicted_thing`.
    """
    things = [one.id for one in categories.things]
    of_thing = overlaps["true_id"].isin(things)
    is_tracked = (overlaps["true_track"] > 0) & ~overlaps["is_crowd"]
    return overlaps.assign(
        true_thing=of_thing & is_tracked,
        ignored=of_thing & ~is_tracked,
        predicted_thing=overlaps["predicted_id"].isin(things),
    )
