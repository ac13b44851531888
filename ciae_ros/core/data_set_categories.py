# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Categories of a data set as the network and the node number them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ciae_ros.core.categories import MAX_CATEGORY_ID, CategorySet

UNUSED_THING = "unused thing"
"""Name of the category that a data set without things gets, because the network has at least one."""


class DataSetCategories(NamedTuple):
    """Categories and their ids in the data set."""

    categories: CategorySet
    ids: dict[int, int]
    """Id in `categories` by id in the data set."""


def read_categories(entries: Iterable[Mapping[str, Any]]) -> DataSetCategories:
    """Read the `categories` list of a data set in COCO's panoptic format.

    Ids are kept if the node can publish all of them: 16 bits, and 0 means unlabelled. Otherwise the categories are
    numbered from 1 in the order of their ids, so that ids from 0 become larger by one.

    Raises:
        ValueError: an entry lacks a field, an id is repeated, or no category is stuff.
    """
    entries = list(entries)
    try:
        theirs = [int(entry["id"]) for entry in entries]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a list of COCO panoptic categories: {error!r}") from None
    if len(set(theirs)) != len(theirs):
        raise ValueError(f"category ids are repeated: {sorted({one for one in theirs if theirs.count(one) > 1})}")
    ids = {one: one for one in theirs}
    if not all(0 < one <= MAX_CATEGORY_ID for one in theirs):
        ids = {one: number for number, one in enumerate(sorted(theirs), start=1)}
    known = [{**entry, "id": ids[int(entry["id"])]} for entry in entries]
    if known and not any(entry.get("isthing") for entry in known):
        unused = next(one for one in range(1, MAX_CATEGORY_ID) if one not in ids.values())
        known.append({"id": unused, "name": UNUSED_THING, "isthing": 1})
    elif known and all(entry.get("isthing") for entry in known):
        raise ValueError(
            "no category is stuff, and without any the network cannot distinguish things from what surrounds them; "
            "`python -m training.add_background SOURCE TARGET` adds a category for the pixels without a segment"
        )
    return DataSetCategories(CategorySet.from_coco(known), ids)
