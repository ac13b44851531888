# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Scores of an evaluation: fractions from 0 to 1, or NaN if there was nothing to score, and numbers of errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ciae_ros.inference import CategorySet


@dataclass(frozen=True)
class Quality:
    """Panoptic quality, averaged over the classes that occur in the ground truth or the results."""

    pq: float
    sq: float
    """Segmentation quality: mean IoU of the matched segments."""
    rq: float
    """Recognition quality: F1 score of the segments."""
    num_classes: int
    """Number of averaged classes."""
    false_positives: float
    """Mean number per image of segments without a match in the ground truth, over all classes of the group."""


@dataclass(frozen=True)
class ClassScores:
    """Scores of a class."""

    pq: float
    sq: float
    rq: float
    iou: float
    """IoU over the pixels of all images."""
    false_positives: float
    """Mean number per image of segments without a match in the ground truth."""


@dataclass(frozen=True)
class BoxAP:
    """COCO's average precision over the thing classes of the ground truth, with 100 boxes per image and class.

    Boxes are the bounding boxes of each thing's pixels, in the ground truth and in the results, because a panoptic
    result does not contain the boxes of the detector. Instances below `score_threshold` are missing and things do not
    overlap, so this AP is lower than that of the detector.
    """

    ap: float
    """Mean over the IoU thresholds 0.50, 0.55, ..., 0.95."""
    ap50: float
    ap75: float


@dataclass(frozen=True)
class SegmentScores:
    """Scores computed from the pixels."""

    all: Quality
    things: Quality
    stuff: Quality
    per_class: dict[int, ClassScores]
    """Scores by category id, without classes that have no score."""

    @property
    def mean_iou(self) -> float:
        """Return the mean IoU over all classes that occur in the ground truth or the results, things and stuff.

        A pixel's class is that of its segment. Void pixels of the ground truth are ignored, pixels of crowds belong to
        their class, and unlabelled pixels of the results are errors.
        """
        values = [scores.iou for scores in self.per_class.values() if not math.isnan(scores.iou)]
        return sum(values) / len(values) if values else math.nan


@dataclass(frozen=True)
class Scores(SegmentScores):
    """All scores of an evaluation."""

    box_ap: BoxAP

    def to_dict(self) -> dict[str, Any]:
        """Convert the scores to plain values for a JSON file, with None for NaN."""
        return _without_nan({**asdict(self), "mean_iou": self.mean_iou})


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def format_scores(scores: Scores, categories: CategorySet, per_class: bool = True) -> str:
    """Format PQ of all, things and stuff, mIoU, AP and optionally a line per class; "-" if nothing was scored."""
    return "\n".join((*_summary(scores), *(_classes(scores, categories) if per_class else ())))


def _summary(scores: Scores) -> Iterator[str]:
    yield f"{'':10} {'PQ':>6} {'SQ':>6} {'RQ':>6} {'N':>4} {'FP':>6}"
    for name in ("all", "things", "stuff"):
        group = getattr(scores, name)
        quality = " ".join(map(_percent, (group.pq, group.sq, group.rq)))
        yield f"{name:10} {quality} {group.num_classes:4} {group.false_positives:6.2f}"
    yield f"{'':10} FP: false positives per image"
    yield ""
    yield f"{'mIoU':10} {_percent(scores.mean_iou)}"
    box_ap = scores.box_ap
    yield f"{'box AP':10} {_percent(box_ap.ap)}   AP50 {_percent(box_ap.ap50)}   AP75 {_percent(box_ap.ap75)}"
    yield f"{'':10} of the boxes around the segments' pixels"


def _classes(scores: Scores, categories: CategorySet) -> Iterator[str]:
    width = max((len(category.name) for category in categories.categories), default=0)
    yield ""
    yield f"{'class':{width}} {'':5} {'PQ':>6} {'SQ':>6} {'RQ':>6} {'IoU':>6} {'FP':>6}"
    for category in categories.categories:
        if category.id in scores.per_class:
            row = scores.per_class[category.id]
            kind = "thing" if category.is_thing else "stuff"
            values = " ".join(map(_percent, (row.pq, row.sq, row.rq, row.iou)))
            yield f"{category.name:{width}} {kind} {values} {row.false_positives:6.2f}"


def _percent(score: float) -> str:
    return f"{'-':>6}" if math.isnan(score) else f"{100 * score:6.1f}"
