# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Proposals from synthetic outputs, and their queries."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference import InferenceSettings
from ciae_ros.inference.proposals.candidates import select_candidates
from ciae_ros.inference.proposals.queries import embedding_at
from ciae_ros.inference.proposals.selection import Proposals, select_proposals, suppress_candidates
from ciae_ros.model import RawOutputs
from ciae_ros.model.strides import PROPOSAL_STRIDES

SIZE = 128, 160


@pytest.fixture
def outputs() -> RawOutputs:
    """Three classes, nothing detected."""
    shapes = [(math.ceil(SIZE[0] / stride), math.ceil(SIZE[1] / stride)) for stride in PROPOSAL_STRIDES]
    return RawOutputs(
        class_logits=[torch.full((1, 3, *shape), -9.0) for shape in shapes],
        centerness=[torch.zeros(1, 1, *shape) for shape in shapes],
        box_distances=[torch.full((1, 4, *shape), 10.0) for shape in shapes],
        embedding=torch.randn(1, 32, SIZE[0] // 4, SIZE[1] // 4),
    )


def detect(outputs: RawOutputs, level: int, row: int, column: int, category: int, logit: float) -> None:
    outputs.class_logits[level][0, category, row, column] = logit


def propose(outputs: RawOutputs, **settings: float) -> Proposals:
    return select_proposals(outputs, 0, SIZE, InferenceSettings(**settings))


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_nothing_detected_gives_no_proposals(outputs: RawOutputs) -> None:
    assert propose(outputs).boxes.shape == (0, 4)


def test_box_score_class_and_location(outputs: RawOutputs) -> None:
    detect(outputs, level=1, row=3, column=5, category=2, logit=logit(0.98))
    outputs.box_distances[1][0, :, 3, 5] = torch.tensor([10.0, 20.0, 30.0, 40.0])
    proposals = propose(outputs)
    assert proposals.locations.tolist() == [[5 * 16 + 8, 3 * 16 + 8]]
    assert proposals.boxes.tolist() == [[88 - 10, 56 - 20, 88 + 30, 56 + 40]]
    assert proposals.classes.tolist() == [2]
    assert proposals.scores.item() == pytest.approx(math.sqrt(0.98 * 0.5))


def test_score_threshold_is_on_the_geometric_mean(outputs: RawOutputs) -> None:
    detect(outputs, level=0, row=3, column=3, category=0, logit=logit(0.5))
    assert len(propose(outputs, score_threshold=0.49).scores) == 1
    assert len(propose(outputs, score_threshold=0.51).scores) == 0


def test_suppression_is_class_wise_and_keeps_the_best(outputs: RawOutputs) -> None:
    detect(outputs, level=0, row=5, column=5, category=0, logit=logit(0.9))
    detect(outputs, level=0, row=5, column=6, category=0, logit=logit(0.95))
    detect(outputs, level=0, row=5, column=5, category=1, logit=logit(0.8))
    outputs.box_distances[0][0, :, 5, 5] = torch.tensor([40.0, 40.0, 48.0, 40.0])
    outputs.box_distances[0][0, :, 5, 6] = torch.tensor([48.0, 40.0, 40.0, 40.0])
    proposals = propose(outputs)
    assert proposals.classes.tolist() == [0, 1]
    assert proposals.locations[0].tolist() == [6 * 8 + 4, 5 * 8 + 4]


def test_boxes_are_clipped_and_those_in_the_padding_dropped(outputs: RawOutputs) -> None:
    detect(outputs, level=0, row=0, column=0, category=0, logit=4.0)
    detect(outputs, level=0, row=15, column=19, category=0, logit=4.0)
    inside = select_proposals(outputs, 0, (100, 130), InferenceSettings())
    assert inside.boxes.tolist() == [[0, 0, 14, 14]]


def test_at_most_max_instances_with_the_highest_scores(outputs: RawOutputs) -> None:
    for column in range(10):
        detect(outputs, level=0, row=8, column=2 * column, category=0, logit=1.0 + column)
    outputs.box_distances[0][:] = 2.0
    proposals = propose(outputs, max_instances=3)
    assert proposals.locations[:, 0].tolist() == [18 * 8 + 4, 16 * 8 + 4, 14 * 8 + 4]


def test_at_most_so_many_of_a_level(outputs: RawOutputs) -> None:
    outputs.class_logits[0][:] = 3.0
    outputs.box_distances[0][:] = 1.0
    assert len(propose(outputs, max_proposals_per_level=7).scores) == 7


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("per_level", [20, 1000])
def test_padded_selection_gives_the_same_proposals(outputs: RawOutputs, threshold: float, per_level: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shuffled = RawOutputs(
        class_logits=[torch.randn(part.shape, generator=generator) * 2 - 2 for part in outputs.class_logits],
        centerness=[torch.randn(part.shape, generator=generator) for part in outputs.centerness],
        box_distances=[torch.rand(part.shape, generator=generator) * 40 for part in outputs.box_distances],
        embedding=outputs.embedding,
    )
    settings = InferenceSettings(score_threshold=threshold, max_proposals_per_level=per_level, max_instances=300)
    expected = select_proposals(shuffled, 0, SIZE, settings)
    candidates = select_candidates(shuffled, per_level)
    found = suppress_candidates(candidates, shuffled.embedding, 0, SIZE, settings)
    assert len(expected.scores) > 3
    for name in ("boxes", "scores", "classes", "locations", "queries"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))


def test_query_is_the_up_sampled_embedding_at_the_location(outputs: RawOutputs) -> None:
    embedding = outputs.embedding[0]
    locations = torch.tensor([[0, 0], [4, 12], [84, 60], [159, 127], [92, 4]])
    upsampled: Tensor = F.interpolate(embedding[None], scale_factor=4, mode="bilinear", align_corners=False)[0]
    expected = upsampled[:, locations[:, 1], locations[:, 0]].T
    torch.testing.assert_close(embedding_at(embedding, locations), expected)
