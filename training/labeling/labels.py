# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Labels of an image, which a data set is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ciae_ros.core.categories import Category


@dataclass(frozen=True)
class LabelSegment:
    """A segment of an image's labels."""

    id: int
    """Value of its pixels, from 1."""
    category: Category
    score: float
    """Score that the teachers gave it, 0 to 1."""
    agreement: float
    """Share of the votes that agree with it, mean over its pixels, 0 to 1; 1 with a single vote."""
    is_crowd: bool = False
    """Whether it is a region of things that are not told apart."""


@dataclass(frozen=True)
class Labels:
    """Labels of an image."""

    ids: np.ndarray
    """(H, W) uint16 segment ids; 0 is void."""
    segments: tuple[LabelSegment, ...]
    agreement: np.ndarray | None = None
    """(H, W) uint8 share of the votes that agree with the most frequent category, 255 for all; None with one vote."""

    def segments_info(self) -> list[dict[str, Any]]:
        """Return the segments in COCO's panoptic format, with score and agreement; every segment has pixels."""
        return [_segment_info(self.ids, segment) for segment in self.segments]

    def certainty(self) -> float:
        """Return the mean over all pixels of score times agreement, 0 where void: how certain the labels are."""
        areas = np.bincount(self.ids.ravel(), minlength=len(self.segments) + 1)
        return float(sum(areas[one.id] * one.score * one.agreement for one in self.segments) / self.ids.size)


def _segment_info(ids: np.ndarray, segment: LabelSegment) -> dict[str, Any]:
    mask = (ids == segment.id).astype(np.uint8)
    return {
        "id": segment.id,
        "category_id": segment.category.id,
        "area": int(mask.sum()),
        "bbox": list(cv2.boundingRect(mask)),
        "iscrowd": int(segment.is_crowd),
        "score": round(segment.score, 4),
        "agreement": round(segment.agreement, 4),
    }
