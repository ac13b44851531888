# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Groups of categories, and their points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ciae_ros.inference.category_map import CategoryMap
from ciae_ros.spatial.category_groups import CategoryGroups, CategoryGroupsError, split_points
from ciae_ros.spatial.point_layout import LabelledSegment, point_words

CONFIG = Path(__file__).parents[2] / "config"
SEGMENTS = [
    LabelledSegment(number, 10 * number, name, False, 1.0, (0, 0, 1, 1), (0, 0, 0))
    for number, name in enumerate(("Road", "car", "bench"), start=1)
]


def write(folder: Path, text: str) -> Path:
    path = folder / "groups.yaml"
    path.write_text(text)
    return path


def test_groups_of_segments(tmp_path: Path) -> None:
    groups = CategoryGroups.load(
        write(tmp_path, "groups: {ground: [road, grass], moving: [car]}\nothers: moving\nunlabelled: ground")
    )
    assert groups.names == ("ground", "moving")
    assert groups.of_segments(SEGMENTS).tolist() == [0, 0, 1, 1]
    assert groups.without_group(SEGMENTS) == set()


def test_what_is_in_no_group_is_named(tmp_path: Path) -> None:
    groups = CategoryGroups.load(write(tmp_path, "groups: {ground: [road], moving: [car]}"))
    assert groups.of_segments(SEGMENTS).tolist() == [-1, 0, 1, -1]
    assert groups.without_group(SEGMENTS) == {"bench"}
    assert groups.of_segments([]).tolist() == [-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "groups must be names of groups"),
        ("groups: {}", "groups must be names of groups"),
        ("groups: {ground: road}", "the group 'ground' must be a list"),
        ("groups: {'no name': [road]}", "the group 'no name' must have a name of letters"),
        ("groups: {a: [road], b: [Road]}", "the category 'road' is in two groups"),
        ("groups: {a: [road]}\nothers: b", "others must be one of the groups a, not 'b'"),
        ("groups: {a: [road]}\nother: a", "unknown entry 'other'"),
        ("groups: {a: [", "cannot be read"),
    ],
)
def test_invalid_files_are_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CategoryGroupsError, match=message) as error:
        CategoryGroups.load(write(tmp_path, text))
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CategoryGroupsError, match="cannot be read"):
        CategoryGroups.load(tmp_path / "none.yaml")


def test_points_are_split_by_their_segment() -> None:
    random = np.random.default_rng(0)
    points = random.random((1000, point_words(packed_label=False))).astype(np.float32)
    segments = random.integers(0, 4, 1000).astype(np.uint32)
    points.view(np.uint32)[:, 4] = 77 << 16 | segments
    points[::7, :3] = np.nan
    group_of_segment = np.array([-1, 1, 0, 1], np.int32)
    found = split_points(points, group_of_segment, 3)
    is_there = ~np.isnan(points[:, 2])
    for group, expected in enumerate(([2], [1, 3], [])):
        np.testing.assert_array_equal(found[group], points[is_there & np.isin(segments, expected), :3])
    assert [one.shape[1] for one in found] == [3, 3, 3]


def test_no_points_and_no_segments_are_no_problem() -> None:
    points = np.empty((0, point_words(packed_label=False)), np.float32)
    assert [len(one) for one in split_points(points, np.array([-1], np.int32), 2)] == [0, 0]


def test_the_shipped_groups_have_the_categories_of_the_shipped_model() -> None:
    groups = CategoryGroups.load(CONFIG / "navigation_groups.yaml")
    assert groups.names == ("traversable", "dynamic", "obstacle")
    own = CategoryMap.load(CONFIG / "label_maps" / "scenes.yaml").categories.categories
    in_group = {one.name: groups.names[groups.group_of[one.name]] for one in own if one.name in groups.group_of}
    assert {one.name for one in own} - set(in_group) == {"sky", "ceiling", "other"}
    assert {name for name, group in in_group.items() if group == "dynamic"} == {one.name for one in own if one.is_thing}
    assert {name for name, group in in_group.items() if group == "traversable"} == {
        "road",
        "pavement",
        "ground",
        "floor",
    }
