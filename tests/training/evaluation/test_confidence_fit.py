# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The fit of the function of the confidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.inference import InferenceSettings
from ciae_ros.replay.bags.types import TrueSegment, TrueSegments
from training.evaluation.confidence_fit import count_margins, fit, flat

ROAD, SKY = Category(1, "road", False, (0, 0, 0)), Category(2, "sky", False, (0, 0, 0))
SIZE = 120


def results(slope: float, offset: float, images: int = 20) -> Iterator[tuple[PanopticResult, TrueSegments]]:
    """Yield results whose margins are right as often as the logistic function says; a quarter is void."""
    random, settings = np.random.default_rng(0), flat(InferenceSettings())
    for _ in range(images):
        margin = random.uniform(0, 1, (SIZE, SIZE))
        is_right = random.random(margin.shape) < 1 / (1 + np.exp(-slope * margin - offset))
        found = random.integers(1, 3, margin.shape)
        true = np.where(is_right, found, 3 - found)
        true[: SIZE // 2, : SIZE // 2] = 0
        recorded = 1 / (1 + np.exp(-settings.confidence_slope * margin - settings.confidence_offset))
        result = panoptic_result(found, {1: (ROAD, 1.0), 2: (SKY, 1.0)})
        yield (
            replace(result, confidence=np.rint(255 * recorded).astype(np.uint8)),
            TrueSegments(true.astype(np.int32), (TrueSegment(1, ROAD.id), TrueSegment(2, SKY.id))),
        )


@pytest.mark.parametrize(("slope", "offset"), [(8.0, -1.0), (3.0, 0.5), (12.0, 0.0)])
def test_the_function_is_found(slope: float, offset: float) -> None:
    counts = count_margins(results(slope, offset))
    assert counts is not None
    assert counts.total.sum() == 20 * SIZE**2 * 3 / 4
    found = fit(counts)
    assert found == pytest.approx((slope, offset), rel=0.05, abs=0.05)
    assert counts.calibration_error(*found) < 0.01
    assert counts.calibration_error(slope, offset + 2) > 0.03


def test_a_fit_to_perfect_results_is_finite() -> None:
    perfect = [
        (one, TrueSegments(one.label_map.astype(np.int32), (TrueSegment(1, ROAD.id), TrueSegment(2, SKY.id))))
        for one, _ in results(8.0, 0.0, images=2)
    ]
    counts = count_margins(perfect)
    assert counts is not None
    slope, offset = fit(counts)
    assert np.isfinite([slope, offset]).all()
    assert counts.calibration_error(slope, offset) < 0.01


def test_results_without_a_confidence_are_not_counted() -> None:
    assert count_margins((replace(one, confidence=None), truth) for one, truth in results(8.0, 0.0, images=1)) is None
