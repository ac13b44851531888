# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The layout of labelled points in memory, which is that of the published clouds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

COORDINATES = 3
"""Words of the coordinates; a word has 32 bits."""


@dataclass(frozen=True)
class LabelledSegment:
    """A segment of a label image, as points and boxes refer to it."""

    id: int
    """Value of its pixels, from 1."""
    category_id: int
    category_name: str
    is_thing: bool
    score: float
    box: tuple[int, int, int, int]
    """x, y, width and height in pixels."""
    color: tuple[int, int, int]
    """B, G, R."""
    track_id: int = 0
    """Identity through time; 0: none."""


@dataclass(frozen=True)
class PointField:
    """A field of a point."""

    name: str
    offset: int
    """In bytes."""
    kind: type[np.generic]


def point_fields(packed_label: bool) -> list[PointField]:
    """Return the fields of a point, which fill `point_words` words.

    Args:
        packed_label: add the field `label`: category << 16 | instance, as Hydra reads it.
    """
    fields = [
        PointField("x", 0, np.float32),
        PointField("y", 4, np.float32),
        PointField("z", 8, np.float32),
        # The bits of 0x00RRGGBB as a float, as PCL and RViz expect.
        PointField("rgb", 12, np.float32),
        PointField("segment_id", 16, np.uint16),
        PointField("category_id", 18, np.uint16),
        PointField("track_id", 20, np.uint32),
    ]
    return [*fields, PointField("label", 24, np.uint32)] if packed_label else fields


def point_words(packed_label: bool) -> int:
    """Return the number of words of a point."""
    return 7 if packed_label else 6


def segment_words(segments: Iterable[LabelledSegment], packed_label: bool) -> np.ndarray:
    """Return what the points of each segment have in common.

    Returns:
        (S + 1, words - 3) uint32: the words after the coordinates, by segment id; those of 0 are unlabelled and grey.
    """
    segments = list(segments)
    size = max((segment.id for segment in segments), default=0) + 1
    words = np.zeros((size, point_words(packed_label) - COORDINATES), np.uint32)
    words[0, 0] = 0x808080
    for segment in segments:
        blue, green, red = segment.color
        words[segment.id, :3] = (
            red << 16 | green << 8 | blue,
            segment.category_id << 16 | segment.id,
            segment.track_id,
        )
        if packed_label:
            instance = segment.id if segment.is_thing else 0
            words[segment.id, 3] = segment.category_id << 16 | instance
    return words
