# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Masks of things as a bounded number of pixels, and their overlap with the segments of another frame.

The pixels of a thing are sampled on a grid and stored relative to its box. A mask can therefore be moved and scaled
with the box, and the cost of comparing masks does not depend on the size of the image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ciae_ros.core.compiled import compiled

GRID = 32
"""Maximum number of samples along each side of a box."""


class MaskSamples(NamedTuple):
    """The samples of N masks."""

    inside: np.ndarray
    """(N, GRID, GRID) bool, by row and column of a grid that divides the box evenly: whether the mask contains the
    centre of the cell."""
    size: np.ndarray
    """(N, 2) int32 rows and columns of the grid; cells beyond are unused."""

    @classmethod
    def none(cls) -> MaskSamples:
        """Return the samples of no masks."""
        return cls(np.empty((0, GRID, GRID), np.bool_), np.empty((0, 2), np.int32))

    def selected(self, masks: np.ndarray) -> MaskSamples:
        """Return some of the masks (indices)."""
        return MaskSamples(self.inside[masks], self.size[masks])

    def joined(self, others: MaskSamples) -> MaskSamples:
        """Return these masks followed by others."""
        return MaskSamples(np.concatenate((self.inside, others.inside)), np.concatenate((self.size, others.size)))


def sample_masks(label_map: np.ndarray, ids: np.ndarray, boxes: np.ndarray) -> MaskSamples:
    """Sample the masks of segments.

    Args:
        label_map: (H, W) unsigned integers.
        ids: (N,) int64 ids of the segments.
        boxes: (N, 4) x, y, width, height of boxes around them, which may exceed the map; sides of at least 1.
    """
    inside = np.zeros((len(ids), GRID, GRID), np.bool_)
    size = np.empty((len(ids), 2), np.int32)
    _sample(label_map, ids, np.rint(boxes).astype(np.int64), inside, size)
    return MaskSamples(inside, size)


def overlap(samples: MaskSamples, boxes: np.ndarray, label_map: np.ndarray, num_segments: int) -> np.ndarray:
    """Return the areas that masks, moved to other boxes, have in common with the segments of a label map.

    Args:
        samples: samples of N masks.
        boxes: (N, 4) float64 x, y, width, height in pixels of the map, of positive size; they may exceed it.
        label_map: (H, W) unsigned integers, at most `num_segments`.
        num_segments: number of segments.

    Returns:
        (N, num_segments + 1) float64 areas in pixels, by the id of the segment; the row of a mask adds up to the area
        of it that is inside the map.
    """
    areas = np.zeros((len(boxes), num_segments + 1))
    _add_areas(samples.inside, samples.size, boxes, label_map, areas)
    return areas


@compiled
def _sample(label_map: np.ndarray, ids: np.ndarray, boxes: np.ndarray, inside: np.ndarray, size: np.ndarray) -> None:
    for n in range(len(ids)):
        x, y, width, height = boxes[n]
        rows, columns = min(height, GRID), min(width, GRID)
        size[n, 0], size[n, 1] = rows, columns
        for i in range(rows):
            row = y + (2 * i + 1) * height // (2 * rows)
            if row < 0 or row >= label_map.shape[0]:
                continue
            for j in range(columns):
                column = x + (2 * j + 1) * width // (2 * columns)
                if 0 <= column < label_map.shape[1]:
                    inside[n, i, j] = label_map[row, column] == ids[n]


@compiled
def _add_areas(
    inside: np.ndarray, size: np.ndarray, boxes: np.ndarray, label_map: np.ndarray, areas: np.ndarray
) -> None:
    map_height, map_width = label_map.shape
    for n in range(len(boxes)):
        x, y, width, height = boxes[n]
        rows, columns = size[n]
        step_y, step_x = height / rows, width / columns
        cell = step_x * step_y
        for i in range(rows):
            row = np.floor(y + (i + 0.5) * step_y)
            if row < 0 or row >= map_height:
                continue
            for j in range(columns):
                column = np.floor(x + (j + 0.5) * step_x)
                if inside[n, i, j] and 0 <= column < map_width:
                    areas[n, label_map[int(row), int(column)]] += cell
