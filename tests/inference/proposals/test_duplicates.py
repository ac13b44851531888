# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Suppression of duplicates compared with its definition, and what it changes in a result."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference.proposals.duplicates import OFF, duplicate_pairs, without_duplicates


def kept(boxes: Tensor, queries: Tensor, similarity: float, iou: float) -> list[int]:
    return without_duplicates(duplicate_pairs(boxes, queries, similarity, iou)).tolist()


def kept_by_definition(boxes: Tensor, queries: Tensor, similarity: float, iou: float) -> list[int]:
    """Visit the proposals in the order of their scores, and keep each one that no kept one duplicates."""
    chosen: list[int] = []
    for index in range(len(boxes)):
        if not any(
            F.cosine_similarity(queries[index], queries[other], dim=0) > similarity
            and overlap(boxes[index].tolist(), boxes[other].tolist()) > iou
            for other in chosen
        ):
            chosen.append(index)
    return chosen


def overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("similarity", [0.0, 0.7, 0.95])
@pytest.mark.parametrize("iou", [0.0, 0.3])
def test_greedy_suppression_in_the_order_of_scores(similarity: float, iou: float) -> None:
    generator = torch.Generator().manual_seed(3)
    corners = torch.rand(60, 2, generator=generator) * 60
    boxes = torch.cat((corners, corners + 10 + torch.rand(60, 2, generator=generator) * 40), dim=1)
    queries = torch.randn(60, 2, generator=generator) * 5
    expected = kept_by_definition(boxes, queries, similarity, iou)
    assert 1 < len(expected) < 50
    assert kept(boxes, queries, similarity, iou) == expected


def test_a_duplicate_needs_similar_queries_and_overlapping_boxes() -> None:
    box, beside = [0.0, 0, 10, 10], [20.0, 0, 30, 10]
    same, other = [1.0, 2, 3], [3.0, -2, 1]
    for second_box, second_query, expected in ((box, same, [0]), (beside, same, [0, 1]), (box, other, [0, 1])):
        boxes, queries = torch.tensor([box, second_box]), torch.tensor([same, second_query])
        assert kept(boxes, queries, 0.9, 0.3) == expected


def test_norms_do_not_matter_and_both_thresholds_must_be_exceeded() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 5]])
    queries = torch.tensor([[1.0, 0], [0.01, 0]])
    assert kept(boxes, queries, 0.9, 0.49) == [0]
    assert kept(boxes, queries, 0.9, 0.5) == [0, 1]


def test_a_suppressed_proposal_suppresses_nothing() -> None:
    """In a chain of neighbours, each similar only to the next one, every other one is kept."""
    angles = torch.arange(5) * math.acos(0.92)
    queries = torch.stack((angles.cos(), angles.sin()), dim=1)
    assert all(F.cosine_similarity(a, b, dim=0) > 0.9 for a, b in pairwise(queries))
    assert kept(torch.tensor([[0.0, 0, 10, 10]] * 5), queries, 0.9, 0.3) == [0, 2, 4]


def test_off_keeps_even_equal_proposals() -> None:
    queries = torch.randn(1, 32, generator=torch.Generator().manual_seed(0)).repeat(50, 1)
    assert kept(torch.tensor([[0.0, 0, 10, 10]] * 50), queries, OFF, 0.0) == list(range(50))


def test_nothing_proposed() -> None:
    assert kept(torch.zeros(0, 4), torch.zeros(0, 32), 0.9, 0.3) == []
