# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Maps that are derived from results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.core.segment_maps import panoptic_result

ROAD, CAR = Category(300, "road", False, (0, 0, 0)), Category(7, "car", True, (0, 0, 0))
LABELS = np.zeros((8, 12), np.uint8)
LABELS[2:, :] = 1
LABELS[4:, 6:] = 2
RESULT = panoptic_result(LABELS, {1: (ROAD, 0.5), 2: (CAR, 0.8)})


def test_the_semantic_map_has_category_ids() -> None:
    np.testing.assert_array_equal(RESULT.semantic_map(), np.array([0, 300, 7])[LABELS])


def test_without_a_confidence_of_pixels_it_is_the_score_of_segments() -> None:
    np.testing.assert_array_equal(RESULT.confidence_map(), np.array([0, 128, 204])[LABELS])


def test_the_confidence_of_pixels_is_enlarged_and_unlabelled_pixels_have_none() -> None:
    samples = np.array([[40, 40, 240], [40, 40, 240]], np.uint8)
    found = replace(RESULT, confidence=samples).confidence_map()
    assert found.shape == LABELS.shape
    assert found.dtype == np.uint8
    assert (found[:2] == 0).all()
    assert set(found[2:, :6].ravel()) == {40}
    assert set(found[2:, -2:].ravel()) == {240}
    assert (np.diff(found[5].astype(int)) >= 0).all()
