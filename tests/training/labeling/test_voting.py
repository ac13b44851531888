# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Votes of teachers and views."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.core.categories import Category
from ciae_ros.core.segment_maps import panoptic_result
from tests.training.labeling.recordings import CAR, ROAD, SKY
from training.labeling.labels import Labels
from training.labeling.voting import Thresholds, Vote, combine

LOW = Thresholds(min_area=1)
CONTENTS = {1: (ROAD, 1.0), 2: (SKY, 1.0), 3: (CAR, 0.9), 4: (CAR, 0.7)}


def vote(
    rows: list[list[int]],
    contents: dict[int, tuple[Category, float]] | None = None,
    regions: frozenset[int] = frozenset(),
    instances: bool = True,
    is_base: bool = True,
) -> Vote:
    """Return a vote with ids 1 road, 2 sky, 3 and 4 cars, 0 unlabelled."""
    result = panoptic_result(np.repeat(np.array(rows), 4, axis=1), contents or CONTENTS)
    return Vote(result, regions, frozenset({CAR.id}) if instances else frozenset(), is_base)


def categories(labels: Labels) -> list[list[str]]:
    names = {0: "-"} | {one.id: one.category.name + "*" * one.is_crowd for one in labels.segments}
    return [[names[int(value)] for value in row[::4]] for row in labels.ids]


def test_a_single_vote_is_kept() -> None:
    labels = combine([vote([[2, 2, 0], [1, 3, 4]])], LOW)
    assert categories(labels) == [["sky", "sky", "-"], ["road", "car", "car"]]
    assert labels.agreement is None
    assert [round(one.score, 2) for one in labels.segments] == [1.0, 1.0, 0.9, 0.7]
    assert labels.certainty() == pytest.approx((3 * 1.0 + 0.9 + 0.7) / 6)


def test_things_with_a_low_score_become_void() -> None:
    labels = combine([vote([[1, 3, 4]])], Thresholds(min_score=0.8, min_area=1))
    assert categories(labels) == [["road", "car", "-"]]


def test_the_majority_decides_and_ties_become_void() -> None:
    two = combine([vote([[1, 1, 2]]), vote([[1, 2, 2]])], LOW)
    assert categories(two) == [["road", "-", "sky"]]
    three = combine([vote([[1, 1, 2]]), vote([[1, 2, 2]]), vote([[1, 2, 1]])], LOW)
    assert categories(three) == [["road", "sky", "sky"]]
    assert three.agreement is not None
    assert three.agreement[0, ::4].tolist() == [255, 170, 170]
    sky = next(one for one in three.segments if one.category == SKY)
    assert sky.agreement == pytest.approx(2 / 3)


def test_unlabelled_pixels_are_no_votes() -> None:
    labels = combine([vote([[0, 1, 0]]), vote([[2, 1, 0]])], LOW)
    assert categories(labels) == [["sky", "road", "-"]]


def test_a_lower_threshold_keeps_the_first_vote() -> None:
    labels = combine([vote([[1, 2]]), vote([[2, 1]])], Thresholds(min_agreement=0.5, min_area=1))
    assert categories(labels) == [["road", "sky"]]


def test_instances_are_confirmed_by_other_votes() -> None:
    base, same = vote([[3, 3, 1, 4, 4]]), vote([[4, 4, 1, 3, 3]])
    labels = combine([base, same], LOW)
    assert categories(labels) == [["car", "car", "road", "car", "car"]]
    cars = [one for one in labels.segments if one.category == CAR]
    assert [round(one.score, 2) for one in cars] == [0.8, 0.8]
    assert [one.agreement for one in cars] == [1.0, 1.0]


def test_instances_that_others_see_otherwise_become_a_crowd() -> None:
    labels = combine([vote([[3, 3, 4, 4]]), vote([[3, 3, 3, 3]])], LOW)
    assert categories(labels) == [["car*"] * 4]
    assert [one.is_crowd for one in labels.segments] == [True]


def test_instances_may_need_less_support_than_pixels() -> None:
    """Both votes agree about the pixels; the second one takes two cars for one."""
    votes = [vote([[3, 3, 4, 4]]), vote([[3, 3, 3, 3]])]
    labels = combine(votes, Thresholds(min_agreement=0.6, min_support=0.5, min_area=1))
    assert [one.is_crowd for one in labels.segments] == [False, False]
    with pytest.raises(ValueError, match=r"min_support must be in 0..1, not 1.5"):
        Thresholds(min_support=1.5)


def test_an_object_that_a_neighbour_does_not_show_is_kept() -> None:
    labels = combine([vote([[1, 3, 3]]), vote([[1, 0, 0]], is_base=False)], LOW)
    assert categories(labels) == [["road", "car", "car"]]


def test_the_first_teacher_that_tells_objects_apart_gives_the_instances() -> None:
    region = {1: (ROAD, 1.0), 3: (CAR, 1.0)}
    semantic = vote([[1, 3, 3, 3]], region, regions=frozenset({2}), instances=False)
    labels = combine([semantic, vote([[1, 3, 4, 4]])], LOW)
    assert categories(labels) == [["road", "car", "car", "car"]]
    assert len(labels.segments) == 3


def test_regions_of_things_without_an_instance_are_a_crowd() -> None:
    region = {1: (ROAD, 1.0), 3: (CAR, 1.0)}
    semantic = vote([[1, 3, 3]], region, regions=frozenset({2}), instances=False)
    assert categories(combine([semantic], LOW)) == [["road", "car*", "car*"]]


def test_small_segments_and_fragments_are_no_segments() -> None:
    assert categories(combine([vote([[1, 1, 2]])], Thresholds(min_area=5))) == [["road", "road", "-"]]
    outvoted = [vote([[3, 3, 3, 3]]), vote([[3, 1, 1, 1]]), vote([[3, 1, 1, 1]])]
    assert categories(combine(outvoted, LOW)) == [["car*", "road", "road", "road"]]


@pytest.mark.parametrize("name", ["min_score", "min_agreement", "min_area"])
def test_invalid_thresholds_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Thresholds(**{name: -1})
