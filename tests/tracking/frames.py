# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Results of frames with rectangular things."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult
from ciae_ros.core.segment_maps import panoptic_result

ROAD = Category(1, "road", False, (128, 64, 128))
CAR = Category(2, "car", True, (0, 0, 142))
TRUCK = Category(3, "truck", True, (0, 0, 70))
HEIGHT, WIDTH = 240, 320


class Block(NamedTuple):
    """A rectangular thing; later ones cover earlier ones."""

    x: int
    y: int
    width: int
    height: int
    category: Category = CAR
    query: np.ndarray | None = None


def frame(*blocks: Block, height: int = HEIGHT, width: int = WIDTH) -> PanopticResult:
    """Return a result with a road, as segment 1, and things in the order of the blocks, as far as they are visible."""
    ids = np.full((height, width), 1, np.uint16)
    segments = {1: (ROAD, 1.0)}
    for number, block in enumerate(blocks, start=2):
        ids[max(block.y, 0) : block.y + block.height, max(block.x, 0) : block.x + block.width] = number
        segments[number] = block.category, 0.9
    visible = [blocks[number - 2] for number in np.unique(ids) if number > 1]
    result = panoptic_result(ids, segments)
    has_road = not result.segments[0].category.is_thing
    things = [replace(one, query=block.query) for one, block in zip(result.segments[has_road:], visible, strict=True)]
    return PanopticResult(result.label_map, (*result.segments[:has_road], *things))


def track_ids(result: PanopticResult) -> list[int]:
    """Return the track ids of the things."""
    return [segment.track_id for segment in result.segments if segment.category.is_thing]
