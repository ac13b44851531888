# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Non-maximum suppression of padded entries compared with torchvision's, and the resulting proposals."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

pytest.importorskip("triton")

from ciae_ros.inference import InferenceSettings
from ciae_ros.inference.proposals.candidates import Candidates
from ciae_ros.inference.proposals.fixed_shape_selection import select_padded_proposals
from ciae_ros.inference.proposals.selection import Proposals, suppress_candidates
from ciae_ros.inference.proposals.triton_nms import padded_nms
from ciae_ros.inference.settings import DeviceSettings
from tests.inference.triton_device import DEVICE, needs_cuda, needs_device

pytestmark = needs_device


def random_boxes(count: int, whole: bool) -> Tensor:
    """Boxes (count, 4), many of which overlap; on whole pixels torchvision's offsets between classes are exact."""
    corners, sides = torch.rand(count, 2) * 120, 20 + torch.rand(count, 2) * 60
    boxes = torch.cat((corners, corners + sides), dim=1)
    return boxes.round() if whole else boxes


def keep(boxes: Tensor, classes: Tensor, threshold: float, max_kept: int, num_valid: int | None = None) -> list[int]:
    """Return the indices of the kept boxes, after checking the padding. The threshold is float64, as on a CPU."""
    valid = torch.tensor(len(boxes) if num_valid is None else num_valid)
    limit = torch.tensor(threshold, dtype=torch.float64)
    kept, is_used = padded_nms(boxes.to(DEVICE), classes.to(DEVICE), valid.to(DEVICE), limit.to(DEVICE), max_kept)
    assert kept.shape == is_used.shape == (max_kept,)
    assert (kept.dtype, is_used.dtype) == (torch.int64, torch.bool)
    count = int(is_used.sum())
    assert is_used[:count].all()
    assert not kept[count:].any()
    return kept[:count].tolist()


@pytest.mark.parametrize("count", [1, 31, 32, 33, 97, 200])
@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_suppression_equals_torchvision(count: int, threshold: float) -> None:
    boxes, classes = random_boxes(count, whole=True), torch.randint(0, 3, (count,))
    scores = torch.rand(count).sort(descending=True).values
    assert keep(boxes, classes, threshold, 200) == batched_nms(boxes, scores, classes, threshold).tolist()


def test_iou_is_rounded_as_torchvision_rounds_it() -> None:
    boxes, scores = random_boxes(100, whole=False), torch.rand(100).sort(descending=True).values
    classes = torch.zeros(100, dtype=torch.int64)
    # The threshold is the IoU of a pair of these boxes: any other rounding would change the number of kept boxes.
    first, second = boxes[0], boxes[1:]
    shared = (torch.minimum(first[2:], second[:, 2:]) - torch.maximum(first[:2], second[:, :2])).clamp(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    for threshold in (shared / (areas[0] + areas[1:] - shared)).sort().values[-8:].tolist():
        assert keep(boxes, classes, threshold, 100) == nms(boxes, scores, threshold).tolist()


def test_the_best_are_kept_if_there_are_too_many() -> None:
    boxes, classes = random_boxes(200, whole=True), torch.randint(0, 9, (200,))
    scores = torch.rand(200).sort(descending=True).values
    expected = batched_nms(boxes, scores, classes, 0.6).tolist()
    for max_kept in (1, 5, 33, len(expected)):
        assert keep(boxes, classes, 0.6, max_kept) == expected[:max_kept]


@pytest.mark.parametrize("num_valid", [0, 1, 32, 70])
def test_only_valid_boxes_are_kept_or_suppress(num_valid: int) -> None:
    boxes, classes = random_boxes(100, whole=True), torch.zeros(100, dtype=torch.int64)
    scores = torch.rand(100).sort(descending=True).values
    expected = batched_nms(boxes[:num_valid], scores[:num_valid], classes[:num_valid], 0.4).tolist()
    assert keep(boxes, classes, 0.4, 100, num_valid) == expected


def test_no_boxes() -> None:
    assert keep(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 0.5, 3) == []


def test_an_iou_at_the_threshold_suppresses_nothing() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 1], [0.0, 0, 1, 1]])
    classes = torch.zeros(2, dtype=torch.int64)
    assert keep(boxes, classes, 0.5, 2) == [0, 1]
    assert keep(boxes, classes, 0.4999, 2) == [0]
    assert keep(boxes, torch.tensor([0, 1]), 0.4999, 2) == [0, 1]


def test_dropped_candidates_suppress_nothing() -> None:
    """Forty boxes in a row, each overlapping only its neighbours: every other one is kept, across words of the mask."""
    left = torch.arange(40) * 10.0
    boxes = torch.stack((left, torch.zeros(40), left + 15, torch.full((40,), 10.0)), dim=1)
    assert keep(boxes, torch.zeros(40, dtype=torch.int64), 0.1, 40) == list(range(0, 40, 2))


def random_embedding() -> Tensor:
    """A map whose queries form few groups of similar vectors."""
    directions = torch.randn(4, 8)
    return (directions[torch.randint(0, 4, (2, 23, 33))] + 0.1 * torch.randn(2, 23, 33, 8)).permute(0, 3, 1, 2)


def random_candidates(count: int) -> Candidates:
    boxes = random_boxes(2 * count, whole=True).view(2, count, 4) - 30
    return Candidates(
        boxes, torch.rand(2, count), torch.randint(0, 3, (2, count)), torch.randint(0, 160, (2, count, 2))
    )


def propose(candidates: Candidates, embedding: Tensor, settings: InferenceSettings) -> Proposals:
    on_device = DeviceSettings(settings, DEVICE)
    on_device.nms_threshold = torch.tensor(settings.nms_threshold, dtype=torch.float64, device=DEVICE)
    padded = select_padded_proposals(
        Candidates(*(part.to(DEVICE) for part in candidates)), embedding.to(DEVICE), 1, (90, 130), on_device
    )
    return Proposals(**{name: part.cpu() for name, part in vars(padded).items()})


@pytest.mark.parametrize("score_threshold", [0.0, 0.4, 0.95, 1.0])
@pytest.mark.parametrize("max_instances", [7, 150])
@pytest.mark.parametrize("duplicate_similarity", [0.5, 1.0])
def test_padded_proposals_are_equal(score_threshold: float, max_instances: int, duplicate_similarity: float) -> None:
    candidates, embedding = random_candidates(200), random_embedding()
    settings = InferenceSettings(score_threshold, 0.5, duplicate_similarity, 0.1, max_instances=max_instances)
    expected = suppress_candidates(candidates, embedding, 1, (90, 130), settings)
    padded = propose(candidates, embedding, settings)
    count = len(expected.scores)
    assert (count == 0) == (score_threshold == 1)
    literal = suppress_candidates(candidates, embedding, 1, (90, 130), replace(settings, duplicate_similarity=1.0))
    if max_instances == 150 and score_threshold < 0.9:
        assert (count < len(literal.scores)) == (duplicate_similarity < 1)
    for name in ("boxes", "scores", "classes", "locations", "queries"):
        found, wanted = getattr(padded, name), getattr(expected, name)
        assert (len(found), found.dtype) == (max_instances, wanted.dtype)
        assert torch.equal(found[:count], wanted)
    assert (padded.boxes[count:] == torch.tensor([1.0, 1, 0, 0])).all()
    assert not any(column[count:].any() for column in (padded.scores, padded.classes, padded.locations))


def test_boxes_in_the_padding_are_dropped_and_equal_scores_stay_in_order() -> None:
    boxes = torch.tensor([[5.0, 5, 9, 9], [200.0, 5, 210, 9], [5.0, 95, 9, 99], [60.0, 5, 200, 9], [-9.0, 50, 9, 200]])
    candidates = Candidates(
        boxes[None].repeat(2, 1, 1),
        torch.full((2, 5), 0.5),
        torch.zeros(2, 5, dtype=torch.int64),
        torch.arange(20).view(2, 5, 2),
    )
    padded = propose(candidates, random_embedding(), InferenceSettings(0.4, 0.6, max_instances=4))
    assert padded.boxes.tolist() == [[5, 5, 9, 9], [60, 5, 130, 9], [0, 50, 9, 90], [1, 1, 0, 0]]
    assert padded.locations.tolist() == [[10, 11], [16, 17], [18, 19], [0, 0]]


@needs_cuda
def test_a_captured_graph_follows_thresholds_that_change() -> None:
    candidates = Candidates(*(part.cuda() for part in random_candidates(5000)))
    embedding, settings = random_embedding().cuda(), DeviceSettings(InferenceSettings(), DEVICE)

    def propose_all() -> Proposals:
        return select_padded_proposals(candidates, embedding, 1, (90, 130), settings)

    propose_all()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    torch.cuda.set_sync_debug_mode("error")
    try:
        propose_all()
        with torch.cuda.graph(graph):
            padded = propose_all()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for thresholds in ((0.0, 0.5, 0.5, 0.1), (0.9, 0.25, 0.9, 0.3), (0.999, 0.75, 1.0, 0.0)):
        changed = InferenceSettings(*thresholds)
        settings.update(changed)
        graph.replay()
        expected = suppress_candidates(candidates, embedding, 1, (90, 130), changed)
        count = len(expected.scores)
        assert torch.equal(padded.scores[:count], expected.scores)
        assert torch.equal(padded.boxes[:count], expected.boxes)
        assert not padded.scores[count:].any()
