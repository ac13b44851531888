# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The categories of a model's classes: their names, and which are things.

The layout has no common place for things. They are taken from, in this order: a list that the user gives, lists of
class numbers that some models have, and the names of the classes if they are those of a known data set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.known_categories import categories_of_names
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.huggingface.reference import ModelReference

NO_CATEGORY = re.compile(r"LABEL_\d+|n/?a|none|void|ignore|unlabell?ed|no.?object|", re.IGNORECASE)
"""Names of classes that are not used, or mean that a pixel is unlabelled."""

STUFF_KEYS = ("stuff_classes", "label_ids_to_fuse")
"""Keys of lists of the class numbers of stuff, in the configuration of a model or of its preprocessing."""
THING_KEY = "thing_ids"
"""Key of the list of the class numbers of things, there or in the preprocessing's "metadata"."""


@dataclass(frozen=True)
class Classes:
    """The C classes of a network."""

    categories: CategorySet
    category_of_class: tuple[int, ...]
    """Index into `categories` of each class; -1 for a class without a category."""


def read_classes(
    config: Mapping[str, Any], preprocessing: Mapping[str, Any], num_classes: int, reference: ModelReference
) -> Classes:
    """Read the classes of a model.

    Args:
        config: content of config.json.
        preprocessing: content of preprocessor_config.json.
        num_classes: number of classes without "no object".
        reference: the model.

    Raises:
        CheckpointError: the names or the things are unknown, or there are no stuff or no thing classes.
    """
    names = _names(config, num_classes, reference)
    known = categories_of_names(names)
    things = _things(names, config, preprocessing, reference)
    if things is None and known is None:
        raise CheckpointError(
            f"{reference} does not say which of its {len(names)} classes are things: write their names as a list into "
            "a YAML file, and append ?things=FILE to the name of the model"
        )
    by_name: dict[str, Category] = {}
    names_of_categories = {}
    for number, name in names.items():
        entry = known[number].to_coco() if known else {"id": number + 1, "name": name}
        if things is not None:
            entry["isthing"] = number in things
        category = Category.from_coco(entry)
        by_name.setdefault(category.name, category)
        names_of_categories[number] = category.name
    try:
        categories = CategorySet(tuple(by_name.values()))
    except ValueError as error:
        num_things = sum(category.is_thing for category in by_name.values())
        raise CheckpointError(
            f"{reference} is not a panoptic model ({error}): it has {num_things} thing and {len(by_name) - num_things} "
            "stuff classes; choose one that has both"
        ) from None
    index = {category.name: number for number, category in enumerate(categories.categories)}
    return Classes(categories, tuple(index.get(names_of_categories.get(c, ""), -1) for c in range(num_classes)))


def _names(config: Mapping[str, Any], num_classes: int, reference: ModelReference) -> dict[int, str]:
    """Return the names of the classes that are used, by number."""
    try:
        given = {int(number): str(name).strip() for number, name in config.get("id2label", {}).items()}
    except (AttributeError, ValueError):
        raise CheckpointError(f"{reference} has an id2label that is not a mapping: correct its config.json") from None
    names = {
        number: name
        for number, name in sorted(given.items())
        if number < num_classes and not NO_CATEGORY.fullmatch(name)
    }
    if not names:
        raise CheckpointError(
            f'{reference} does not name its classes: add id2label to its config.json, such as {{"0": "road", ...}}'
        )
    return names


def _things(
    names: Mapping[int, str], config: Mapping[str, Any], preprocessing: Mapping[str, Any], reference: ModelReference
) -> set[int] | None:
    """Return the numbers of the classes that are things; None if nothing but their names may tell."""
    if reference.things:
        return _read_things(reference.things, names)
    metadata = preprocessing.get("metadata")
    for source in (config, preprocessing, metadata if isinstance(metadata, dict) else {}):
        if isinstance(source.get(THING_KEY), list):
            return {number for number in source[THING_KEY] if number in names}
        for key in STUFF_KEYS:
            if isinstance(source.get(key), list):
                return {number for number in names if number not in source[key]}
    return None


def _read_things(path: Path, names: Mapping[int, str]) -> set[int]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} cannot be read ({reason}): give a YAML list of the names of things") from None
    if not isinstance(content, list):
        raise CheckpointError(
            f"{path} is not a YAML list: write one name or number of a thing class per line, after '- '"
        )
    numbers = {name: number for number, name in reversed(list(names.items()))}
    things: set[int] = set()
    for entry in content:
        number = entry if type(entry) is int else numbers.get(str(entry), -1)
        if number not in names:
            choice = ", ".join(names.values())
            raise CheckpointError(
                f"{path} names {entry!r}, which is not a class of the model; its classes are {choice}"
            )
        things.add(number)
    return things
