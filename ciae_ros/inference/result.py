# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The panoptic result: the one type that the node, replay, evaluation and visualisation all use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ciae_ros.inference.categories import Category

UNLABELLED = 0
"""Segment id of pixels that belong to no segment."""


@dataclass(frozen=True)
class Segment:
    """One object, or all of one kind of region."""

    id: int
    """Its pixels' value in the label map, from 1."""
    category: Category
    score: float
    """Detection score of a thing, 0 to 1; 1.0 for stuff, which the network does not score."""
    area: int
    """In pixels, at least 1."""
    box: tuple[int, int, int, int]
    """x, y, width, height in pixels of the smallest box around the segment's pixels."""
    centroid: tuple[float, float]
    """Mean x, y of the pixels; pixel (0, 0) has its centre at 0, 0."""


@dataclass(frozen=True)
class PanopticResult:
    """Each pixel in exactly one segment or unlabelled, at the size of the original image."""

    label_map: np.ndarray
    """(H, W) uint16 segment ids; 0 is unlabelled."""
    segments: tuple[Segment, ...]
    """In the order of their ids, which are dense: segments[i].id == i + 1."""

    def semantic_map(self) -> np.ndarray:
        """(H, W) uint16 category ids of the data set; 0 is unlabelled."""
        category_of_segment = np.zeros(len(self.segments) + 1, np.uint16)
        for segment in self.segments:
            category_of_segment[segment.id] = segment.category.id
        return category_of_segment[self.label_map]
