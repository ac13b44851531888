# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Maps from the categories of a model to one's own, read from a YAML file.

The file lists one's own categories, each with the names of the categories that become it:

    categories:
      - {id: 1, name: road, kind: stuff, from: [road]}
      - {id: 2, name: vehicle, kind: thing, from: [car, truck, bus]}

Categories that the file does not name become unlabelled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.known_categories import known_names
from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.core.text_file import read_text
from ciae_ros.inference.regrouping import Target, regroup

STUFF, REGION, THING = "stuff", "region", "thing"
"""Kinds of segments: stuff, things that are not told apart, and single things."""
KINDS = {STUFF: 0, THING: 1}


class CategoryMapError(ValueError):
    """An invalid map; the one-line message states what is wrong with it."""


class MappedResult(NamedTuple):
    """A result in one's own categories."""

    result: PanopticResult
    regions: frozenset[int]
    """Ids of the segments of thing categories that may contain several objects, because the model has the category as
    stuff."""


@dataclass(frozen=True)
class CategoryMap:
    """One's own categories, and the names of the categories that become them."""

    categories: CategorySet
    sources: Mapping[str, Category]
    """Own category by the name of the source category in lower case."""

    @classmethod
    def load(cls, path: Path) -> CategoryMap:
        """Read a YAML file.

        Raises:
            CategoryMapError: it cannot be read, or its content is not such a map.
        """
        try:
            content = yaml.safe_load(read_text(path))
            entries = content["categories"]
            own = CategorySet(tuple(_category(entry) for entry in entries))
            sources: dict[str, Category] = {}
            for entry in entries:
                for name in map(_normalized, entry["from"]):
                    if name in sources:
                        raise CategoryMapError(f"{path}: {name!r} becomes two categories")
                    sources[name] = own.by_id[int(entry["id"])]
        except OSError as error:
            raise CategoryMapError(f"{path} cannot be read: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise CategoryMapError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
        except (KeyError, TypeError, AttributeError) as error:
            raise CategoryMapError(
                f"{path} is not a map of categories, which need id, name, kind (stuff or thing) and from: {error!r}"
            ) from None
        except CategoryMapError:
            raise
        except ValueError as error:
            raise CategoryMapError(f"{path}: {error}") from None
        return cls(own, sources)

    @classmethod
    def identity(cls, categories: Iterable[Category]) -> CategoryMap:
        """Return the map that leaves categories as they are.

        Raises:
            CategoryMapError: they are not those of a panoptic data set.
        """
        categories = tuple(categories)
        try:
            own = CategorySet(categories)
        except ValueError as error:
            raise CategoryMapError(str(error)) from None
        return cls(own, {_normalized(category.name): category for category in categories})

    @property
    def digest(self) -> str:
        """Identifier of the map's content."""
        sources = {name: category.id for name, category in self.sources.items()}
        content = json.dumps([self.categories.to_coco(), sources], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def check_names(self, *models: Iterable[Category]) -> None:
        """Check that each name in the map is that of a category of a model or of a well-known data set.

        Raises:
            CategoryMapError: one is not, and is therefore misspelt.
        """
        known = known_names() | {_normalized(one.name) for one in self.categories.categories}
        known |= {name for categories in models for one in categories for name in _names(one)}
        if unknown := [name for name in self.sources if name not in known]:
            raise CategoryMapError(
                f"the map names {', '.join(map(repr, unknown[:5]))}, which no model, COCO, Cityscapes or ADE20K has"
            )

    def for_model(self, categories: Iterable[Category]) -> ModelCategoryMap:
        """Return the map of the categories of a model, which are found by name.

        Raises:
            CategoryMapError: the map names none of them.
        """
        categories = tuple(categories)
        targets: dict[int, Category] = {}
        for category in categories:
            own = next((self.sources[name] for name in _names(category) if name in self.sources), None)
            if own is not None:
                targets[category.id] = own
        if not targets:
            names = ", ".join(category.name for category in categories[:5])
            raise CategoryMapError(f"the map names none of the model's {len(categories)} categories ({names}, ...)")
        regions = frozenset(one.id for one in categories if not one.is_thing)
        instances = {own.id for one, own in targets.items() if own.is_thing and one not in regions}
        unmapped = tuple(one for one in categories if one.id not in targets)
        return ModelCategoryMap(targets, regions, frozenset(instances), unmapped)


@dataclass(frozen=True)
class ModelCategoryMap:
    """A map for the categories of one model."""

    targets: Mapping[int, Category]
    """Own category by the id of the model's category."""
    regions: frozenset[int]
    """Ids of the model's categories that are stuff."""
    instance_categories: frozenset[int]
    """Ids of the own thing categories whose objects the model tells apart."""
    unmapped: tuple[Category, ...]
    """The model's categories that become unlabelled."""

    def apply(self, result: PanopticResult) -> MappedResult:
        """Map a result. Segments that become stuff are merged by category, and so are regions of things."""
        found, groups = regroup(result, self._target_of)
        regions = frozenset(number for number, group in enumerate(groups, start=1) if group[0] == REGION)
        return MappedResult(found, regions)

    def _target_of(self, segment: Segment) -> Target | None:
        own = self.targets.get(segment.category.id)
        if own is None:
            return None
        if not own.is_thing:
            return Target(own, (STUFF, own.id))
        if segment.category.id in self.regions:
            return Target(own, (REGION, own.id))
        return Target(own, (THING, segment.id))


def _category(entry: Mapping[str, Any]) -> Category:
    if entry["kind"] not in KINDS:
        raise CategoryMapError(f"the kind of {entry['name']!r} must be stuff or thing, not {entry['kind']!r}")
    if isinstance(entry["from"], str):
        raise TypeError(f"from of {entry['name']!r} must be a list")
    return Category.from_coco({**entry, "isthing": KINDS[entry["kind"]]})


def _names(category: Category) -> tuple[str, str]:
    """Return the name of a category, and the first of synonyms that are separated by commas."""
    return _normalized(category.name), _normalized(category.name.split(",", maxsplit=1)[0])


def _normalized(name: str) -> str:
    return str(name).strip().lower()
