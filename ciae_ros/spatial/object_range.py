# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The range of depths of an object among those within its mask, which also covers what is behind and in front of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_SAMPLES = 1000
"""Number of depths that a large object's range is determined from."""


@dataclass(frozen=True)
class DepthGap:
    """The difference between successive depths of two different objects."""

    metres: float = 0.2
    share: float = 0.02
    """Of the depth, in addition to `metres`."""
    min_share: float = 0.25
    """Smallest share of the depths within a mask that an object has."""


def object_range(depths: np.ndarray, gap: DepthGap) -> tuple[float, float]:
    """Return the range of the nearest group of depths that is large enough to be the object.

    Args:
        depths: (n,) depths of points within a mask, n > 0.
        gap: what separates groups, and their size. If none is large enough, the largest is the object.

    Returns:
        Smallest and largest depth of the object, widened by the gap.
    """
    every = max(1, len(depths) // MAX_SAMPLES)
    values = np.sort(depths[::every])
    breaks = np.flatnonzero(np.diff(values) > gap.metres + gap.share * values[:-1]) + 1
    bounds = np.concatenate([[0], breaks, [len(values)]])
    sizes = np.diff(bounds)
    large = np.flatnonzero(sizes >= gap.min_share * len(values))
    chosen = int(large[0]) if len(large) else int(np.argmax(sizes))
    return float(values[bounds[chosen]]) - gap.metres, float(values[bounds[chosen + 1] - 1]) + gap.metres
