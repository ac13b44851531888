# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The colours and names of segments in pictures and clouds."""

from __future__ import annotations

from ciae_ros.core.categories import Category


def segment_color(number: int, category: Category) -> tuple[int, int, int]:
    """Return B, G, R of the category's colour, varied for things to distinguish neighbours.

    Args:
        number: id of the track, so that the colour stays the same, or else of the segment.
        category: category of the segment.
    """
    red, green, blue = category.color
    shift = (number * 47 % 64) - 32 if category.is_thing else 0
    return min(max(blue + shift, 0), 255), min(max(green - shift, 0), 255), min(max(red + shift, 0), 255)


def thing_name(category: str, track_id: int, score: float) -> str:
    """Return what is written next to a thing, such as "car #12 0.87"; a track id of 0 is left out."""
    return f"{category} #{track_id} {score:.2f}" if track_id else f"{category} {score:.2f}"
