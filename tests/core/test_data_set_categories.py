# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Ids that the node can publish are kept; others are numbered from 1, the same in every file of a data set."""

from __future__ import annotations

from typing import Any

import pytest

from ciae_ros.core.data_set_categories import UNUSED_THING, read_categories


def entry(category_id: object, name: str, is_thing: int) -> dict[str, Any]:
    return {"id": category_id, "name": name, "isthing": is_thing}


@pytest.mark.parametrize(
    ("ids", "numbered"),
    [
        ((1, 7, 65535), {1: 1, 7: 7, 65535: 65535}),
        ((0, 1, 2), {0: 1, 1: 2, 2: 3}),
        ((2, 0, 1), {0: 1, 1: 2, 2: 3}),
        ((-1, 5, 65536), {-1: 1, 5: 2, 65536: 3}),
    ],
)
def test_ids(ids: tuple[int, ...], numbered: dict[int, int]) -> None:
    entries = [entry(one, f"class {one}", number % 2) for number, one in enumerate(ids)]
    found = read_categories(entries)
    assert found.ids == numbered
    assert {category.id: category.name for category in found.categories.categories} == {
        numbered[one]: f"class {one}" for one in ids
    }
    assert read_categories(entries[::-1]).ids == numbered


def test_a_data_set_without_things_gets_an_unused_one() -> None:
    found = read_categories([entry(1, "road", 0), entry(2, "sky", 0)])
    (thing,) = found.categories.things
    assert (thing.id, thing.name) == (3, UNUSED_THING)
    assert found.ids == {1: 1, 2: 2}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry(1, "car", 1)], "no category is stuff.*training.add_background"),
        ([], "at least one stuff"),
        ([entry(0, "road", 0), entry(0, "car", 1)], r"repeated: \[0\]"),
        ([{"id": 1, "name": "road"}], "isthing"),
        ([{"name": "road", "isthing": 0}], "'id'"),
        (["road"], "not a list of COCO panoptic categories"),
    ],
)
def test_invalid_lists_are_refused(entries: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_categories(entries)
