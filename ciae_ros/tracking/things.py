# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The things of a frame, as arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ciae_ros.core.result import PanopticResult

THING_MAP_WIDTH = 160
"""Width of the map of things in pixels, at least."""


class Things(NamedTuple):
    """The S things of a frame."""

    numbers: np.ndarray
    """(S,) int64 ids of their segments."""
    boxes: np.ndarray
    """(S, 4) int64 x, y, width, height."""
    areas: np.ndarray
    """(S,) int64 pixels."""
    categories: np.ndarray
    """(S,) int64 category ids."""
    queries: np.ndarray
    """(S, D) float32 of unit length, or 0 for a thing without a query; D is 0 if none has one."""


def things_of(result: PanopticResult) -> Things:
    """Return the things of a result."""
    things = [segment for segment in result.segments if segment.category.is_thing]
    dimension = max((len(segment.query) for segment in things if segment.query is not None), default=0)
    unknown = np.zeros(dimension, np.float32)
    queries = [unknown if segment.query is None else segment.query for segment in things]
    return Things(
        numbers=np.array([segment.id for segment in things], np.int64),
        boxes=np.array([segment.box for segment in things], np.int64).reshape(-1, 4),
        areas=np.array([segment.area for segment in things], np.int64),
        categories=np.array([segment.category.id for segment in things], np.int64),
        queries=np.array(queries, np.float32).reshape(len(things), dimension),
    )


def thing_map(result: PanopticResult) -> np.ndarray:
    """Return where a result has things, (h, w) uint8, reduced by skipping pixels."""
    step = max(1, result.label_map.shape[1] // THING_MAP_WIDTH)
    is_thing = np.zeros(len(result.segments) + 1, np.uint8)
    for segment in result.segments:
        is_thing[segment.id] = segment.category.is_thing
    return is_thing[result.label_map[::step, ::step]]
