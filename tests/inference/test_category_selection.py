# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Categories that are merged or left out."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.inference.category_selection import CategorySelection, parse_class_map

ROAD, PATH, SKY = (Category(n, name, False, (n, n, n)) for n, name in ((5, "road"), (6, "path"), (9, "sky")))
CAR, BUS, DOG = (Category(n, name, True, (n, n, n)) for n, name in ((1, "car"), (2, "bus"), (3, "dog")))
CATEGORIES = CategorySet((ROAD, PATH, SKY, CAR, BUS, DOG))
CONTENT = (ROAD, CAR, PATH, BUS, SKY, DOG, CAR)
"""Categories of the segments 1 to 7."""


def result_of(labels: np.ndarray, categories: tuple[Category, ...]) -> PanopticResult:
    segments = []
    for number, category in enumerate(categories, start=1):
        y, x = np.nonzero(labels == number)
        box = x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1
        segments.append(Segment(number, category, number / 10, len(x), box, (x.mean(), y.mean())))
    return PanopticResult(labels, tuple(segments))


@pytest.fixture
def result() -> PanopticResult:
    labels = np.random.default_rng(0).integers(0, 8, (33, 47)).astype(np.uint16)
    return result_of(labels, CONTENT)


def applied(result: PanopticResult, class_map: tuple[str, ...] = (), classes: tuple[str, ...] = ()) -> PanopticResult:
    """Apply a selection and check that the segments are those of the new label map."""
    found = CategorySelection(CATEGORIES, parse_class_map(class_map), classes).apply(result)
    expected = result_of(found.label_map, tuple(segment.category for segment in found.segments))
    for ours, theirs in zip(found.segments, expected.segments, strict=True):
        assert (ours.id, ours.area, ours.box) == (theirs.id, theirs.area, theirs.box)
        assert ours.centroid == pytest.approx(theirs.centroid)
    assert set(np.unique(found.label_map)) <= {0, *(segment.id for segment in found.segments)}
    return found


def names(result: PanopticResult) -> list[str]:
    return [segment.category.name for segment in result.segments]


def test_without_a_choice_the_result_stays(result: PanopticResult) -> None:
    assert CategorySelection(CATEGORIES, {}).apply(result) is result
    assert CategorySelection(CATEGORIES, {}).categories == CATEGORIES.categories


def test_others_become_unlabelled(result: PanopticResult) -> None:
    found = applied(result, classes=("car", "sky"))
    assert names(found) == ["car", "sky", "car"]
    assert np.array_equal(found.label_map, np.array([0, 0, 1, 0, 0, 2, 0, 3])[result.label_map])
    assert [segment.score for segment in found.segments] == [0.2, 0.5, 0.7]
    assert CategorySelection(CATEGORIES, {}, ("car", "sky")).categories == (SKY, CAR)


def test_merged_stuff_is_one_segment(result: PanopticResult) -> None:
    found = applied(result, ("ground = path, road",))
    assert names(found) == ["ground", "car", "bus", "sky", "dog", "car"]
    ground = found.segments[0]
    assert np.array_equal(found.label_map == 1, np.isin(result.label_map, [1, 3]))
    road, path = result.segments[0], result.segments[2]
    assert ground.score == pytest.approx((0.1 * road.area + 0.3 * path.area) / (road.area + path.area))
    # The id and the colour of the first name.
    assert (ground.category.id, ground.category.color) == (PATH.id, PATH.color)


def test_merged_things_stay_apart(result: PanopticResult) -> None:
    found = applied(result, ("vehicle = car, bus",))
    assert names(found) == ["road", "vehicle", "path", "vehicle", "sky", "dog", "vehicle"]
    assert {segment.category.id for segment in found.segments if segment.category.name == "vehicle"} == {CAR.id}
    assert np.array_equal(found.label_map, result.label_map)


def test_new_names_can_be_chosen(result: PanopticResult) -> None:
    found = applied(result, ("vehicle = car, bus", "ground=road,path"), ("vehicle", "ground"))
    assert names(found) == ["ground", "vehicle", "vehicle", "vehicle"]
    selection = CategorySelection(CATEGORIES, {"vehicle": ["car", "bus"]}, ("vehicle",))
    assert [category.name for category in selection.categories] == ["vehicle"]


def test_a_name_may_be_used_again(result: PanopticResult) -> None:
    assert names(applied(result, ("car = car, bus",))) == ["road", "car", "path", "car", "sky", "dog", "car"]


def test_a_result_without_segments_stays_empty() -> None:
    empty = PanopticResult(np.zeros((4, 5), np.uint16), ())
    assert CategorySelection(CATEGORIES, {}, ("car",)).apply(empty).segments == ()


@pytest.mark.parametrize(
    ("class_map", "classes", "message"),
    [
        (("vehicle",), (), "'vehicle' is not a name and what it replaces, such as"),
        (("= car",), (), "is not a name and what it replaces"),
        (("vehicle = car,",), (), "is not a name and what it replaces"),
        (("v = car", "v = bus"), (), "'v' is defined twice: list all that it replaces in one entry"),
        (
            ("v = car, truck",),
            (),
            "class_map names 'truck', which does not exist: choose from bus, car, dog, path",
        ),
        (("v = car", "w = car, bus"), (), "class_map merges 'car' twice"),
        (("v = car, road",), (), "class_map merges things with stuff into 'v': use a name for each of them"),
        (("sky = road, path",), (), "class_map calls something 'sky', as the model does: list that"),
        ((), ("truck",), "classes names 'truck', which does not exist"),
        (("v = car",), ("car",), "classes names 'car', which does not exist: choose from bus, dog, path, road, sky, v"),
    ],
)
def test_wrong_choices_are_refused(class_map: tuple[str, ...], classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CategorySelection(CATEGORIES, parse_class_map(class_map), classes)


def test_empty_entries_are_ignored() -> None:
    assert parse_class_map(["", " "]) == {}
