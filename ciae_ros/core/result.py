# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The panoptic result, which the node, replay, evaluation and visualisation share."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ciae_ros.core.categories import Category

UNLABELLED = 0
"""Segment id of pixels that belong to no segment."""


@dataclass(frozen=True)
class Segment:
    """One thing instance, or all pixels of one stuff category."""

    id: int
    """Value of its pixels in the label map, from 1."""
    category: Category
    score: float
    """Score of a detection, or probability of the class of a mask, 0 to 1; 1.0 for stuff of CIAE, which does not score
    it."""
    area: int
    """In pixels, at least 1."""
    box: tuple[int, int, int, int]
    """x, y, width, height in pixels of the bounding box of the segment's pixels."""
    centroid: tuple[float, float]
    """Mean x, y of the pixels; the centre of pixel (0, 0) is at 0, 0."""
    track_id: int = 0
    """Identity of a thing through time, from 1; 0 if it is not tracked."""
    query: np.ndarray | None = field(default=None, compare=False, repr=False)
    """(D,) float32 query embedding of unit length (Sec. IV-C); None from networks without pixel embeddings."""


@dataclass(frozen=True)
class PanopticResult:
    """The segments of an image; each pixel belongs to exactly one segment or is unlabelled."""

    label_map: np.ndarray
    """(H, W) uint16 segment ids; 0 is unlabelled."""
    segments: tuple[Segment, ...]
    """Segments in the order of their ids, which are dense: segments[i].id == i + 1."""

    def semantic_map(self) -> np.ndarray:
        """Return the category ids of the data set as (H, W) uint16; 0 is unlabelled."""
        category_of_segment = np.zeros(len(self.segments) + 1, np.uint16)
        for segment in self.segments:
            category_of_segment[segment.id] = segment.category.id
        return category_of_segment[self.label_map]
