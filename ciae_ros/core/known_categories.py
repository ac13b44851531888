# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The categories of well-known panoptic data sets, and which of them a model's class names are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

from ciae_ros.core.categories import Category, CategorySet

DATA_SETS = ("coco", "cityscapes", "ade20k")
MIN_EQUAL_NAMES = 0.75
"""Share of equal names, place by place, from which a list of names is that of a data set with some synonyms."""


def coco_categories() -> CategorySet:
    """Return the 53 stuff and 80 thing categories of COCO panoptic."""
    return CategorySet(data_set_categories("coco"))


OTHER_NAMES = frozenset(
    {"sign", "pavement", "pedestrian", "bicyclist", "window", "door", "ground", "furniture", "other"}
)
"""Names that only CamVid, LabelMeFacade and the shipped model use."""


def known_names() -> frozenset[str]:
    """Return the names of the categories of all data sets."""
    return OTHER_NAMES.union(category.name for data_set in DATA_SETS for category in data_set_categories(data_set))


def categories_of_names(names: Mapping[int, str]) -> dict[int, Category] | None:
    """Return the categories of classes if their names are those of a known data set, by the number of the class.

    Names may be some of a data set's names, in any order, or all of them in its order, some replaced by synonyms.
    """
    for data_set in DATA_SETS:
        categories = data_set_categories(data_set)
        by_name = {category.name: category for category in categories}
        if all(name in by_name for name in names.values()):
            return {number: by_name[name] for number, name in names.items()}
        if sorted(names) == list(range(len(categories))):
            equal = sum(_is_synonym(names[number], category.name) for number, category in enumerate(categories))
            if equal >= MIN_EQUAL_NAMES * len(categories):
                return dict(enumerate(categories))
    return None


def _is_synonym(name: str, expected: str) -> bool:
    """Whether the first of the names, which are separated by commas, is the expected one."""
    return name.split(",", maxsplit=1)[0].strip().lower() == expected


@cache
def data_set_categories(data_set: str) -> tuple[Category, ...]:
    """Return the categories of one of `DATA_SETS` in its order."""
    text = resources.files("ciae_ros.core").joinpath(f"{data_set}_panoptic_categories.json").read_text("utf-8")
    return tuple(Category.from_coco(entry) for entry in json.loads(text))
