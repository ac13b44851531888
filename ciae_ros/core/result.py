# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The panoptic result, which the node, replay, evaluation and visualisation share."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
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
    """Score of a detection, mean confidence of stuff of CIAE, or probability of the class of a mask; 0 to 1."""
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
    confidence: np.ndarray | None = field(default=None, compare=False, repr=False)
    """(h, w) uint8 probability that the category of a pixel is right, 255 for 1, of a map that is as large as the image
    when it is enlarged; None if the network tells it of segments only."""

    def semantic_map(self) -> np.ndarray:
        """Return the category ids of the data set as (H, W) uint16; 0 is unlabelled."""
        category_of_segment = np.zeros(len(self.segments) + 1, np.uint16)
        for segment in self.segments:
            category_of_segment[segment.id] = segment.category.id
        return category_of_segment[self.label_map]

    def confidence_map(self) -> np.ndarray:
        """Return the probability that the category of each pixel is right as (H, W) uint8: 255 for 1, 0 if unlabelled.

        Without a `confidence` of pixels, it is the score of the segment.
        """
        if self.confidence is None:
            scores = [round(255 * min(max(segment.score, 0.0), 1.0)) for segment in self.segments]
            return np.array([0, *scores], np.uint8)[self.label_map]
        enlarged = cv2.resize(self.confidence, self.label_map.shape[::-1], interpolation=cv2.INTER_LINEAR)
        enlarged[self.label_map == UNLABELLED] = 0
        return enlarged
