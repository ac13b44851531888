# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Which thing of a frame continues which track: affinities, and the assignment that maximises their sum."""

from __future__ import annotations

from typing import NamedTuple

import lap
import numpy as np

MIN_OVERLAP = 0.1
"""IoU of a moved mask with a thing above which both may belong together wherever the box was expected."""
MAX_DISTANCE = 4.5
"""Distance of a thing from the expected box, in standard deviations, below which both may belong together without
overlap."""
DISTANCE_SCALE = 1.5
"""Standard deviations at which the contribution of the distance has fallen to 61 %."""
DISTANCE_WEIGHT = 0.5
"""Contribution of a distance of 0; an IoU of 1 contributes 1."""
CERTAIN_OVERLAP = 0.5
"""IoU above which both may belong together although their categories differ: networks confuse cars with trucks."""
CATEGORY_PENALTY = 0.3
"""Reduction for different categories."""
QUERY_WEIGHT = 0.3
"""Reduction for clearly different queries, without overlap; with more of it they matter less."""
QUERY_TOLERANCE = 0.05
"""Difference of queries, 1 - cosine, that is usual for the same object after some frames."""
QUERY_RANGE = 0.1
"""Difference beyond `QUERY_TOLERANCE` at which queries are clearly different."""
GAP_PENALTY = 0.4
"""Reduction for a track whose thing has not been seen for the longest gap; others are reduced in proportion."""
MIN_AFFINITY = 0.05
"""Smallest affinity of a pair."""


class Similarities(NamedTuple):
    """How similar T tracks are to S things; each field is (T, S) unless it says otherwise."""

    overlap: np.ndarray
    """IoU of the moved mask with the thing, 0 to 1."""
    distance: np.ndarray
    """Distance of the boxes in standard deviations of the prediction."""
    same_category: np.ndarray
    """Whether the categories are equal."""
    query_difference: np.ndarray
    """1 - cosine of the queries, 0 to 2; 0 where there are none."""
    gap: np.ndarray
    """(T, 1) time for which the track's thing has not been seen before this frame, 0 to 1: as a share of the longest
    gap."""


def affinity(similarities: Similarities) -> np.ndarray:
    """Return (T, S) affinities; 0 where a thing cannot continue a track."""
    overlap, distance, same_category, query_difference, gap = similarities
    is_possible = same_category & ((overlap > MIN_OVERLAP) | (distance < MAX_DISTANCE))
    is_possible |= overlap > CERTAIN_OVERLAP
    total = overlap + DISTANCE_WEIGHT * np.exp(-0.5 * (distance / DISTANCE_SCALE) ** 2)
    total -= CATEGORY_PENALTY * ~same_category
    total -= QUERY_WEIGHT * (1 - overlap) * np.clip((query_difference - QUERY_TOLERANCE) / QUERY_RANGE, 0, 1)
    total -= GAP_PENALTY * gap
    return np.where(is_possible, np.maximum(total, 0), 0)


def assign(affinities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs that maximise the sum of the affinities, as indices of tracks and of things."""
    if not affinities.size:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    of_track, _ = lap.lapjv(-affinities, extend_cost=True, return_cost=False)
    paired = np.flatnonzero(of_track >= 0)
    paired = paired[affinities[paired, of_track[paired]] > MIN_AFFINITY]
    return paired, of_track[paired]
