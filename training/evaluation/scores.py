# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What an evaluation finds. All scores are fractions, 0 to 1, and nan where there was nothing to score."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Quality:
    """Panoptic quality, averaged over the classes that occur (in the ground truth or, wrongly, in the results)."""

    pq: float
    sq: float
    """Segmentation quality: mean IoU of the matched segments."""
    rq: float
    """Recognition quality: F1 score of the segments."""
    num_classes: int
    """How many classes the averages are over."""


@dataclass(frozen=True)
class ClassScores:
    """Of one class."""

    pq: float
    sq: float
    rq: float
    iou: float
    """Of the class's pixels in all images together."""


@dataclass(frozen=True)
class BoxAP:
    """COCO's average precision over the thing classes that the ground truth has, 100 boxes per image and class.

    The boxes are the smallest around each thing's pixels, in the ground truth as well as in the results: a panoptic
    result does not hold the boxes of the detector. Those that inference leaves out (`score_threshold`) are missing
    here too, and no two things share a pixel, so this is not the detector's AP and lower than it.
    """

    ap: float
    """Mean over the IoU thresholds 0.50, 0.55, ..., 0.95."""
    ap50: float
    ap75: float


@dataclass(frozen=True)
class SegmentScores:
    """What is computed from the pixels."""

    all: Quality
    things: Quality
    stuff: Quality
    per_class: dict[int, ClassScores]
    """By category id; classes that have none of the scores are left out."""

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes, things and stuff alike, that the ground truth or the results have anywhere.

        A pixel's class is that of its panoptic segment. Void pixels of the ground truth are left out, those of crowds
        belong to their class, and pixels that the results leave unlabelled are wrong.
        """
        values = [scores.iou for scores in self.per_class.values() if not math.isnan(scores.iou)]
        return sum(values) / len(values) if values else math.nan


@dataclass(frozen=True)
class Scores(SegmentScores):
    """Everything."""

    box_ap: BoxAP

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file, with None for nan, which JSON does not have."""
        return _without_nan({**asdict(self), "mean_iou": self.mean_iou})


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
