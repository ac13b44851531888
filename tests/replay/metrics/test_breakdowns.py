# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Each segment is counted in exactly one group."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ciae_ros.replay.metrics.breakdowns import by_distance, by_size, confusion_matrix, over_time
from ciae_ros.replay.metrics.matching import FN, TP, UNSCORED
from ciae_ros.replay.metrics.run_tables import confusion_table, frames_table, segments_table
from tests.replay.metrics.tables import CATEGORIES, frame, segment


def test_sizes_are_cocos() -> None:
    areas = [1, 32**2 - 1, 32**2, 96**2 - 1, 96**2, 10**6]
    rows = [segment(0, TP, iou=0.6 + 0.05 * number, area=area) for number, area in enumerate(areas)]
    rows += [segment(0, FN, area=5), segment(0, FN, category_id=1, area=5)]
    small, medium, large = by_size(segments_table(rows)).to_dict("records")
    # Small: cars of 0.6 and 0.65 and a missed one; a road, which is missed.
    assert small["pq"] == pytest.approx((1.25 / 2.5 + 0) / 2)
    assert small["count"] == 4
    assert medium["pq"] == pytest.approx(0.725)
    assert large["pq"] == pytest.approx(0.825)


def test_distances_reach_from_the_centre_to_the_corner() -> None:
    rows = [segment(0, TP, iou=0.9, distance=0.0), segment(0, TP, iou=0.7, distance=1.0), segment(0, FN, distance=0.5)]
    table = by_distance(segments_table(rows), bins=2)
    assert table["low"].tolist() == [0, 0.5]
    assert table["high"].tolist() == [0.5, 1]
    assert table["pq"].to_numpy() == pytest.approx([0.9, 0.7 / 1.5])
    assert table["count"].tolist() == [1, 2]


def test_parts_without_scored_segments_are_nan() -> None:
    table = by_distance(segments_table([segment(0, UNSCORED, distance=0.1)]), bins=4)
    assert all(math.isnan(pq) for pq in table["pq"])


def test_the_course_of_each_sequence() -> None:
    frames = [frame(index, bag=bag, has_truth=index != 9) for bag in ("a", "b") for index in range(10)]
    rows = [segment(i, TP, bag=bag, iou=0.6 if bag == "a" else 0.55 + 0.04 * i) for bag in ("a", "b") for i in range(9)]
    table = over_time(frames_table(frames), segments_table(rows), bins=2)
    assert table["bag"].tolist() == ["a", "a", "b", "b"]
    assert table["pq"].to_numpy() == pytest.approx([0.6, 0.6, 0.61, 0.79])
    assert table["time"].to_numpy() == pytest.approx([0.15, 0.6, 0.15, 0.6])


def test_rows_of_the_confusion_matrix_add_up() -> None:
    key = {"bag": "drive", "topic": "/image"}
    rows = [
        key | {"index": 0, "true_id": 1, "predicted_id": 1, "pixels": 30},
        key | {"index": 1, "true_id": 1, "predicted_id": 1, "pixels": 30},
        key | {"index": 1, "true_id": 1, "predicted_id": 3, "pixels": 20},
        key | {"index": 1, "true_id": 3, "predicted_id": 0, "pixels": 5},
    ]
    matrix = confusion_matrix(confusion_table(rows), CATEGORIES)
    assert matrix.index.tolist() == [1, 3]
    assert matrix.columns.tolist() == [1, 3, 0]
    assert matrix.to_numpy() == pytest.approx(np.array([[0.75, 0.25, 0], [0, 0, 1]]))
