# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Affinities and the assignment of things to tracks."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.tracking.association import Similarities, affinity, assign


def similarities(
    overlap: float = 0.0, distance: float = 20.0, same: bool = True, query: float = 0.0, gap: float = 0.0
) -> Similarities:
    return Similarities(*(np.array([[value]]) for value in (overlap, distance, same, query, gap)))


def test_a_pair_needs_overlap_or_a_small_distance() -> None:
    assert affinity(similarities()) == 0
    assert affinity(similarities(overlap=0.2)) > 0
    assert affinity(similarities(distance=2.0)) > 0
    assert affinity(similarities(distance=1.0)) > affinity(similarities(distance=2.0))


def test_another_category_needs_a_large_overlap() -> None:
    assert affinity(similarities(overlap=0.45, distance=0, same=False)) == 0
    assert (
        0
        < affinity(similarities(overlap=0.9, distance=0, same=False))
        < affinity(similarities(overlap=0.9, distance=0))
    )


@pytest.mark.parametrize("worse", [{"query": 0.1}, {"gap": 0.5}])
def test_other_queries_and_gaps_reduce_the_affinity(worse: dict[str, float]) -> None:
    assert affinity(similarities(overlap=0.6, distance=1.0, **worse)) < affinity(similarities(overlap=0.6, distance=1))


def test_the_sum_is_maximal_and_not_each_pair() -> None:
    tracks, things = assign(np.array([[0.9, 0.8], [0.85, 0.1]]))
    assert dict(zip(tracks.tolist(), things.tolist(), strict=True)) == {0: 1, 1: 0}


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_is_assigned_to_nothing(shape: tuple[int, int]) -> None:
    assert [len(one) for one in assign(np.zeros(shape))] == [0, 0]


@pytest.mark.parametrize("shape", [(2, 5), (5, 2)])
def test_impossible_pairs_are_not_made(shape: tuple[int, int]) -> None:
    affinities = np.zeros(shape)
    affinities[1, 1] = 0.7
    tracks, things = assign(affinities)
    assert (tracks.tolist(), things.tolist()) == ([1], [1])
