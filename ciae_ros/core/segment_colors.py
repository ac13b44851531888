# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The colours of segments in pictures and clouds."""

from __future__ import annotations

from ciae_ros.core.categories import Category


def segment_color(segment_id: int, category: Category) -> tuple[int, int, int]:
    """Return B, G, R of the category's colour, varied with the id for things to distinguish neighbours."""
    red, green, blue = category.color
    shift = (segment_id * 47 % 64) - 32 if category.is_thing else 0
    return min(max(blue + shift, 0), 255), min(max(green - shift, 0), 255), min(max(red + shift, 0), 255)
