# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Several views of a frame, which a teacher labels one by one: mirrored, and as its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from ciae_ros.core.result import PanopticResult
from training.labeling.motion import MotionField

Restore = Callable[[PanopticResult], PanopticResult]
"""Brings the result of a view to the pixels of the frame. Areas and boxes of the segments are those in the view."""


class View(NamedTuple):
    """An image to label in place of a frame."""

    image: np.ndarray
    """(H, W, 3) uint8 BGR."""
    restore: Restore


def views_of(frame: np.ndarray, neighbors: Sequence[np.ndarray] = (), *, mirror: bool = False) -> Iterator[View]:
    """Yield the views of a frame; the first one is the frame itself.

    Args:
        frame: (H, W, 3) uint8 BGR.
        neighbors: earlier and later frames of the sequence; those of another size are left out.
        mirror: add the mirrored frame.
    """
    yield View(frame, lambda result: result)
    if mirror:
        yield View(np.ascontiguousarray(frame[:, ::-1]), _mirrored)
    for neighbor in neighbors:
        if neighbor.shape == frame.shape:
            yield View(neighbor, _motion_compensated(frame, neighbor))


def _mirrored(result: PanopticResult) -> PanopticResult:
    return replace(result, label_map=np.ascontiguousarray(result.label_map[:, ::-1]))


def _motion_compensated(frame: np.ndarray, neighbor: np.ndarray) -> Restore:
    @cache
    def motion() -> MotionField:
        """Return the motion, which is the same for all teachers."""
        return MotionField(frame, neighbor)

    return lambda result: replace(result, label_map=motion().bring_back(result.label_map))
