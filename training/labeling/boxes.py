# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Instances from a semantic map and the boxes of a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult
from ciae_ros.core.segment_maps import panoptic_result

MIN_FILLED = 0.3
"""Minimum share of a box that its mask fills; the semantic map does not confirm others."""


@dataclass(frozen=True)
class Box:
    """A detected object."""

    category: Category
    score: float
    corners: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels; a pixel extends from x to x + 1."""


def join(
    semantic: np.ndarray,
    regions: Mapping[int, Category],
    boxes: Sequence[Box],
    classes: Mapping[int, frozenset[int]],
) -> PanopticResult:
    """Join a semantic map with boxes: an object consists of the pixels in its box that have one of its classes.

    A pixel in several boxes belongs to the one to whose centre it is nearest, relative to the size of the box. Pixels
    outside of boxes, and in boxes without enough pixels, form one region for each class.

    Args:
        semantic: (H, W) integer class of each pixel.
        regions: category of the region of a class; pixels of other classes without an object become unlabelled.
        boxes: detected objects.
        classes: semantic classes of which an object of a category consists, by the category's id.
    """
    height, width = semantic.shape
    nearest = np.full((height, width), np.inf, np.float32)
    owner = np.zeros((height, width), np.int32)
    ys, xs = np.indices((height, width), np.float32) + 0.5
    for number, box in enumerate(boxes, start=1):
        x1, y1, x2, y2 = box.corners
        rows, columns = slice(max(0, round(y1)), max(0, round(y2))), slice(max(0, round(x1)), max(0, round(x2)))
        u = (2 * xs[rows, columns] - x1 - x2) / (x2 - x1)
        v = (2 * ys[rows, columns] - y1 - y2) / (y2 - y1)
        distance = np.maximum(np.abs(u), np.abs(v))
        is_of_class = np.isin(semantic[rows, columns], list(classes[box.category.id]))
        closer = is_of_class & (distance < nearest[rows, columns])
        nearest[rows, columns][closer] = distance[closer]
        owner[rows, columns][closer] = number
    areas = np.bincount(owner.ravel(), minlength=len(boxes) + 1)
    segments: dict[int, tuple[Category, float]] = {}
    for number, box in enumerate(boxes, start=1):
        x1, y1, x2, y2 = box.corners
        if areas[number] >= MIN_FILLED * (x2 - x1) * (y2 - y1):
            segments[number] = box.category, box.score
        else:
            owner[owner == number] = 0
    # Classes follow the numbers of the boxes.
    ids = np.where(owner > 0, owner, semantic.astype(np.int32) + len(boxes) + 1)
    segments |= {value + len(boxes) + 1: (category, 1.0) for value, category in regions.items()}
    return panoptic_result(ids, segments)
