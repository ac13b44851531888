# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The categories that are published: those of a model, some merged under new names and some left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.inference.regrouping import Target, regroup


class CategorySelection:
    """A choice of categories, applied to results."""

    def __init__(
        self, categories: CategorySet, class_map: Mapping[str, Sequence[str]], classes: Sequence[str] = ()
    ) -> None:
        """Check the choice.

        Args:
            categories: categories of the model.
            class_map: names of categories to merge, by their new name.
            classes: names to keep, after merging; all if empty.

        Raises:
            ValueError: a name is unknown or used twice, or things would be merged with stuff.
        """
        by_name = {category.name: category for category in categories.categories}
        merged = _merged(by_name, class_map)
        self._target = {category.id: merged.get(category.name, category) for category in categories.categories}
        names = {category.name for category in self._target.values()}
        _check_known("classes", classes, names)
        if classes:
            self._target = {old: new for old, new in self._target.items() if new.name in classes}
        self.categories = tuple({category.id: category for category in self._target.values()}.values())
        """The published categories."""
        self._changes_nothing = not class_map and not classes

    def apply(self, result: PanopticResult) -> PanopticResult:
        """Return the result with the published categories.

        The segments of merged stuff become one, with the mean of their scores weighted by their areas. Segments of
        categories that are left out become unlabelled.
        """
        if self._changes_nothing:
            return result
        return regroup(result, self._target_of)[0]

    def _target_of(self, segment: Segment) -> Target | None:
        category = self._target.get(segment.category.id)
        if category is None:
            return None
        return Target(category, ("thing", segment.id) if category.is_thing else ("stuff", category.id))


def parse_class_map(entries: Iterable[str]) -> dict[str, list[str]]:
    """Parse entries like "vehicle = car, truck, bus"; empty ones are ignored.

    Raises:
        ValueError: an entry has another form, or a new name occurs twice.
    """
    class_map: dict[str, list[str]] = {}
    for entry in entries:
        if not entry.strip():
            continue
        new, equals, old = entry.partition("=")
        names = [name.strip() for name in old.split(",")]
        if not equals or not new.strip() or not all(names):
            raise ValueError(f"{entry!r} is not a name and what it replaces, such as 'vehicle = car, truck, bus'")
        if new.strip() in class_map:
            raise ValueError(f"{new.strip()!r} is defined twice: list all that it replaces in one entry")
        class_map[new.strip()] = names
    return class_map


def _merged(by_name: Mapping[str, Category], class_map: Mapping[str, Sequence[str]]) -> dict[str, Category]:
    """Return the new category of each one that is merged, by its old name."""
    merged: dict[str, Category] = {}
    replaced = [name for names in class_map.values() for name in names]
    _check_known("class_map", replaced, set(by_name))
    twice = next((name for name in replaced if replaced.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"class_map merges {twice!r} twice: list it in one entry")
    for new, names in class_map.items():
        if new in by_name and new not in replaced:
            raise ValueError(
                f"class_map calls something {new!r}, as the model does: list that as well, or choose another name"
            )
        kinds = {by_name[name].is_thing for name in names}
        if len(kinds) > 1:
            raise ValueError(f"class_map merges things with stuff into {new!r}: use a name for each of them")
        # The id and the colour of the first one remain.
        category = replace(by_name[names[0]], name=new)
        merged.update(dict.fromkeys(names, category))
    return merged


def _check_known(parameter: str, names: Iterable[str], known: set[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"{parameter} names {unknown[0]!r}, which does not exist: choose from {', '.join(sorted(known))}"
        )
