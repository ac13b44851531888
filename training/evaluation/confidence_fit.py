# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The logistic function that turns margins of similarities into the probability that a category is right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from ciae_ros.inference import InferenceSettings, PanopticResult
from ciae_ros.replay.bags.types import TrueSegments

LEVELS = 256
"""Of the confidence of a result."""
FLAT = {"confidence_slope": 4.0, "confidence_offset": -3.0}
"""A function that is flat enough for margins of up to 1.8 to be read back from its 8 bits."""
MAX_STEPS = 100


@dataclass(frozen=True)
class MarginCounts:
    """How often the category is right, by margin."""

    margin: np.ndarray
    """(LEVELS,) ascending."""
    total: np.ndarray
    """(LEVELS,) samples of the embedding map with this margin."""
    right: np.ndarray
    """(LEVELS,) those of them whose category is right."""

    def calibration_error(self, slope: float, offset: float) -> float:
        """Return the mean difference of confidence and share of right samples, over ten intervals of confidence."""
        probability = _logistic(slope * self.margin + offset)
        interval = np.minimum((10 * probability).astype(int), 9)
        total, right, expected = (
            np.bincount(interval, values, 10) for values in (self.total, self.right, self.total * probability)
        )
        return float(np.abs(right - expected).sum() / total.sum())


def flat(settings: InferenceSettings) -> InferenceSettings:
    """Return the settings with which results must be made for `count_margins`."""
    return settings.override(**FLAT)


def count_margins(results: Iterable[tuple[PanopticResult, TrueSegments]]) -> MarginCounts | None:
    """Count the samples of results with `flat` settings; None if there are none with a confidence."""
    counts = np.zeros((2, LEVELS))
    for result, truth in results:
        if result.confidence is None:
            continue
        size = result.confidence.shape[::-1]
        category = np.zeros(int(truth.ids.max(initial=0)) + 1, np.uint16)
        for segment in truth.segments:
            category[segment.id] = segment.category_id
        true, found = (
            cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
            for labels in (category[truth.ids], result.semantic_map())
        )
        is_counted = (true > 0) & (found > 0)
        levels = result.confidence[is_counted]
        counts[0] += np.bincount(levels, minlength=LEVELS)
        counts[1] += np.bincount(levels[(true == found)[is_counted]], minlength=LEVELS)
    if not counts[0].any():
        return None
    probability = (np.arange(LEVELS) / (LEVELS - 1)).clip(0.5 / LEVELS, 1 - 0.5 / LEVELS)
    margin = (np.log(probability / (1 - probability)) - FLAT["confidence_offset"]) / FLAT["confidence_slope"]
    return MarginCounts(margin, counts[0], counts[1])


def fit(counts: MarginCounts) -> tuple[float, float]:
    """Return slope and offset of the logistic function with the highest likelihood, by Newton's method.

    A pseudo-observation of either outcome keeps them finite if all samples are right.
    """
    features = np.stack((counts.margin, np.ones(LEVELS)), axis=1)
    right, total = counts.right + 0.5 / LEVELS, counts.total + 1 / LEVELS
    weights = np.zeros(2)
    for _ in range(MAX_STEPS):
        probability = _logistic(features @ weights)
        gradient = features.T @ (right - total * probability)
        curvature = (features * (total * probability * (1 - probability))[:, None]).T @ features
        step = np.linalg.solve(curvature, gradient)
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return float(weights[0]), float(weights[1])


def _logistic(value: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(value, -50, 50)))
