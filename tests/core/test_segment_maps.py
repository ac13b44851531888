# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Results from maps of segment ids."""

from __future__ import annotations

import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.core.segment_maps import panoptic_result

THING, STUFF = Category(1, "car", True, (9, 9, 9)), Category(2, "road", False, (9, 9, 9))


def test_segments_are_numbered_and_measured() -> None:
    ids = np.array([[0, 700, 700], [5, 700, 9]])
    result = panoptic_result(ids, {700: (THING, 0.5), 6: (THING, 0.9), 5: (STUFF, 1.0)})
    assert result.label_map.dtype == np.uint16
    assert result.label_map.tolist() == [[0, 1, 1], [2, 1, 0]]
    car, road = result.segments
    assert (car.id, car.category, car.score, car.area, car.box) == (1, THING, 0.5, 3, (1, 0, 2, 2))
    assert np.allclose(car.centroid, (4 / 3, 1 / 3))
    assert (road.id, road.area, road.box, road.centroid) == (2, 1, (0, 1, 1, 1), (0.0, 1.0))


def test_a_map_without_segments_is_unlabelled() -> None:
    result = panoptic_result(np.full((2, 3), 4), {})
    assert not result.segments
    assert not result.label_map.any()
