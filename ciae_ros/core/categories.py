# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The categories of a data set, in the order in which the network numbers them."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MAX_CATEGORY_ID = 65535
"""Largest category id; ids are published as 16-bit values."""


@dataclass(frozen=True)
class Category:
    """One category of a COCO panoptic data set."""

    id: int
    """Id in the data set; ids need not be dense."""
    name: str
    is_thing: bool
    color: tuple[int, int, int]
    """R, G, B in 0..255."""

    @classmethod
    def from_coco(cls, entry: Mapping[str, Any]) -> Category:
        """Create a category from an entry of the `categories` list of a COCO panoptic JSON file.

        Raises:
            KeyError or TypeError: a field is missing or has another type.
        """
        color = tuple(entry.get("color") or _color(entry["id"]))
        return cls(int(entry["id"]), str(entry["name"]), bool(entry["isthing"]), color)

    def to_coco(self) -> dict[str, Any]:
        """Return the entry of the `categories` list of a COCO panoptic JSON file."""
        return {"id": self.id, "name": self.name, "color": list(self.color), "isthing": int(self.is_thing)}


@dataclass(frozen=True)
class CategorySet:
    """Categories with their indices in the network: stuff classes first, then things (Sec. III-A).

    Raises:
        ValueError: an id is repeated or does not fit into 16 bits, or there is no stuff or no thing category.
    """

    categories: tuple[Category, ...]

    def __post_init__(self) -> None:
        ids = [category.id for category in self.categories]
        if len(set(ids)) != len(ids):
            raise ValueError(f"category ids are repeated: {sorted({i for i in ids if ids.count(i) > 1})}")
        if not all(0 < i <= MAX_CATEGORY_ID for i in ids):
            raise ValueError(f"category ids must be in 1..{MAX_CATEGORY_ID}")
        if not self.stuff or not self.things:
            raise ValueError("a panoptic data set needs at least one stuff and one thing category")
        object.__setattr__(self, "categories", (*self.stuff, *self.things))

    @cached_property
    def stuff(self) -> tuple[Category, ...]:
        return tuple(category for category in self.categories if not category.is_thing)

    @cached_property
    def things(self) -> tuple[Category, ...]:
        return tuple(category for category in self.categories if category.is_thing)

    @cached_property
    def by_id(self) -> dict[int, Category]:
        return {category.id: category for category in self.categories}

    @classmethod
    def from_coco(cls, entries: Iterable[Mapping[str, Any]]) -> CategorySet:
        """Create a set from the `categories` list of a COCO panoptic JSON file: id, name, isthing and optionally color.

        Raises:
            ValueError: an entry lacks a field, or the categories are not a valid set.
        """
        try:
            return cls(tuple(map(Category.from_coco, entries)))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a list of COCO panoptic categories: {error!r}") from None

    def to_coco(self) -> list[dict[str, Any]]:
        """Return the `categories` list of a COCO panoptic JSON file."""
        return [category.to_coco() for category in self.categories]


def _color(category_id: int) -> tuple[int, int, int]:
    """Return a colour for a category without one; hues at golden-ratio steps stay distinguishable."""
    hue = category_id * 0.618034 % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.5 + 0.4 * (category_id % 2), 0.7 + 0.3 * (category_id % 3) / 2)
    return round(255 * red), round(255 * green), round(255 * blue)
