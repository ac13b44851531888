# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Results with other categories: segments are renamed, merged, or left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.inference.fusion.fused_image import look_up


class Target(NamedTuple):
    """What a segment becomes."""

    category: Category
    group: tuple[str, int]
    """Segments with the same group, a kind and an id, become one."""


def regroup(
    result: PanopticResult, target_of: Callable[[Segment], Target | None]
) -> tuple[PanopticResult, list[tuple[str, int]]]:
    """Return the result with other segments, and the group of each of them.

    The score of merged segments is the mean of their scores weighted by their areas.

    Args:
        result: the result.
        target_of: what a segment becomes; None: its pixels become unlabelled.
    """
    segments: list[Segment] = []
    places: dict[tuple[str, int], int] = {}
    table = np.zeros(len(result.segments) + 1, np.int16)
    for segment in result.segments:
        target = target_of(segment)
        if target is None:
            continue
        place = places.setdefault(target.group, len(segments))
        if place == len(segments):
            segments.append(replace(segment, id=place + 1, category=target.category))
        else:
            segments[place] = _union(segments[place], segment)
        table[segment.id] = place + 1
    index = torch.from_numpy(result.label_map.view(np.int16))
    label_map = look_up(torch.from_numpy(table), index).numpy().view(np.uint16)
    return replace(result, label_map=label_map, segments=tuple(segments)), list(places)


def _union(first: Segment, second: Segment) -> Segment:
    area = first.area + second.area
    left, top = (min(a, b) for a, b in zip(first.box[:2], second.box[:2], strict=True))
    right, bottom = (max(one.box[axis] + one.box[axis + 2] for one in (first, second)) for axis in range(2))

    def mean(a: float, b: float) -> float:
        return (a * first.area + b * second.area) / area

    return replace(
        first,
        score=mean(first.score, second.score),
        area=area,
        box=(left, top, right - left, bottom - top),
        centroid=(mean(first.centroid[0], second.centroid[0]), mean(first.centroid[1], second.centroid[1])),
    )
