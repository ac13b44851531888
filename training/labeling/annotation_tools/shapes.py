# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Annotated images as annotation tools describe them: shapes with labels, one above the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from ciae_ros.core.categories import Category, CategorySet
from training.labeling.labels import Labels, LabelSegment

IMAGES = "images"
"""Folder of the images next to the annotations."""
CROWD_SUFFIX = " (crowd)"
"""End of the label of a region of things that are not told apart."""


class AnnotationError(ValueError):
    """An annotation file that cannot be used; the one-line message states what is wrong with it."""


@dataclass(frozen=True)
class Shape:
    """A labelled region."""

    label: str
    mask: np.ndarray
    """(H, W) bool."""


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with its shapes."""

    file_name: str
    height: int
    width: int
    shapes: list[Shape] = field(default_factory=list)
    """Later ones are above earlier ones."""


def label_names(categories: CategorySet) -> dict[str, tuple[int, int, int]]:
    """Return the colours (R, G, B) of all labels by name: those of the categories, and of crowds of things."""
    names = {one.name: one.color for one in categories.categories}
    return names | {one.name + CROWD_SUFFIX: one.color for one in categories.things}


def to_shapes(ids: np.ndarray, segments_info: Iterable[Mapping[str, Any]], categories: CategorySet) -> list[Shape]:
    """Return the segments of an image as shapes, largest first."""
    ordered = sorted(segments_info, key=lambda one: -int(one["area"]))
    return [
        Shape(
            categories.by_id[one["category_id"]].name + (CROWD_SUFFIX if one.get("iscrowd", 0) else ""),
            ids == one["id"],
        )
        for one in ordered
    ]


def to_labels(image: AnnotatedImage, categories: CategorySet) -> Labels:
    """Return the labels of an image: each shape of a thing is a segment; those of stuff and of crowds are merged.

    Raises:
        AnnotationError: a label is unknown.
    """
    ids = np.zeros((image.height, image.width), np.uint16)
    contents: list[tuple[Category, bool]] = []
    merged: dict[str, int] = {}
    for shape in image.shapes:
        category, is_crowd = _category(shape.label, categories, image.file_name)
        number = len(contents) + 1
        if is_crowd or not category.is_thing:
            number = merged.setdefault(shape.label, number)
        if number > len(contents):
            contents.append((category, is_crowd))
        ids[shape.mask] = number
    visible = np.unique(ids[ids > 0]).tolist()
    table = np.zeros(len(contents) + 1, np.uint16)
    table[visible] = np.arange(1, len(visible) + 1)
    segments = (
        LabelSegment(new, contents[old - 1][0], 1.0, 1.0, contents[old - 1][1])
        for new, old in enumerate(visible, start=1)
    )
    return Labels(table[ids], tuple(segments))


def polygon_mask(points: Sequence[float], height: int, width: int) -> np.ndarray:
    """Return the mask (H, W) bool of a polygon x1, y1, x2, y2, ... in pixels; a pixel extends from x to x + 1."""
    if len(points) < 6:
        return np.zeros((height, width), bool)
    return mask_utils.decode(mask_utils.frPyObjects([list(points)], height, width))[..., 0].astype(bool)


def base_name(path: str) -> str:
    """Return the name of a file without its folders, also those of Windows."""
    return PurePosixPath(path.replace("\\", "/")).name


def _category(label: str, categories: CategorySet, file_name: str) -> tuple[Category, bool]:
    for category in categories.categories:
        if label == category.name:
            return category, False
        if category.is_thing and label == category.name + CROWD_SUFFIX:
            return category, True
    known = ", ".join(label_names(categories))
    raise AnnotationError(f"{file_name} has a shape with the label {label!r}; the labels are {known}")
