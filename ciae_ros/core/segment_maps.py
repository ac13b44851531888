# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Panoptic results from maps of segment ids, for sources of segments other than the networks of this package."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult, Segment


def panoptic_result(ids: np.ndarray, segments: Mapping[int, tuple[Category, float]]) -> PanopticResult:
    """Return the result with these segments, numbered from 1 in the order of the mapping.

    Args:
        ids: (H, W) non-negative integers; those that are not a key of `segments` become unlabelled.
        segments: category and score by id; those without a pixel are left out.
    """
    present = np.bincount(ids.ravel(), minlength=max(segments, default=0) + 1) > 0
    kept = {one: content for one, content in segments.items() if present[one]}
    numbers = np.zeros(len(present), np.uint16)
    for number, one in enumerate(kept, start=1):
        numbers[one] = number
    label_map = numbers[ids]
    found = (
        _measured(label_map, number, category, score) for number, (category, score) in enumerate(kept.values(), start=1)
    )
    return PanopticResult(label_map, tuple(found))


def _measured(label_map: np.ndarray, number: int, category: Category, score: float) -> Segment:
    mask = (label_map == number).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    moments = cv2.moments(mask[y : y + height, x : x + width], binaryImage=True)
    centroid = x + moments["m10"] / moments["m00"], y + moments["m01"] / moments["m00"]
    return Segment(number, category, score, round(moments["m00"]), (x, y, width, height), centroid)
