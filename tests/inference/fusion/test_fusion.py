# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""From assigned pixels to segments: ids, categories, the filter of small stuff."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ciae_ros.inference import Category, CategorySet, PanopticResult
from ciae_ros.inference.fusion.fused_image import FusedImage, NotFiniteError
from ciae_ros.inference.fusion.fusion import Instances, fuse, fuse_instances
from ciae_ros.inference.fusion.sampling_grid import sampling_grid
from ciae_ros.inference.fusion.segment_statistics import SegmentStatistics
from ciae_ros.inference.fusion.semantic_assignment import assign_by_semantics
from ciae_ros.inference.geometry import ImageGeometry, image_geometry
from ciae_ros.inference.proposals.queries import embedding_at
from ciae_ros.inference.proposals.selection import Proposals
from ciae_ros.model import ModelConfig
from ciae_ros.model.category_memory import CategoryMemory

CATEGORIES = CategorySet(
    (
        Category(11, "car", True, (255, 0, 0)),
        Category(3, "road", False, (0, 255, 0)),
        Category(7, "sky", False, (0, 0, 255)),
        Category(12, "person", True, (9, 9, 9)),
    )
)
ROAD, SKY, CAR, PERSON = 0, 1, 2, 3
"""Indices of the embedding's dimensions: each sample points along one of them."""


def fuse_scene(scene: torch.Tensor, detected: int = 1, **choices: object) -> PanopticResult:
    """Fuse a scene (h, w) of dimensions at stride 4, with one detected car over all of it."""
    config = ModelConfig(num_stuff_classes=2, num_thing_classes=2, embedding_dim=4, **choices)
    memory = CategoryMemory(config)
    memory.vectors.copy_(torch.eye(4)[: len(memory.vectors)])
    height, width = (4 * side for side in scene.shape)
    y, x = (4 * int(i) + 2 for i in torch.nonzero(scene == CAR)[0]) if (scene == CAR).any() else (0, 0)
    locations = torch.tensor([[x, y]])[:detected]
    embedding = torch.eye(4)[scene].permute(2, 0, 1)
    proposals = Proposals(
        boxes=torch.tensor([[0.0, 0.0, width, height]])[:detected],
        scores=torch.tensor([0.75])[:detected],
        classes=torch.tensor([1])[:detected],
        locations=locations,
        queries=embedding_at(embedding, locations),
    )
    geometry = image_geometry(height, width, min(height, width), max(height, width))
    fused = fuse(embedding, proposals, memory, config, 300, geometry)
    return fused.to_result(CATEGORIES)


@pytest.fixture
def scene() -> torch.Tensor:
    """Road below, a strip of sky too small to count, a car."""
    scene = torch.full((16, 16), ROAD)
    scene[0] = SKY
    scene[6:10, 4:12] = CAR
    return scene


def test_stuff_precedes_things_regardless_of_ids() -> None:
    assert [category.id for category in CATEGORIES.categories] == [3, 7, 11, 12]


def test_segments_of_a_scene(scene: torch.Tensor) -> None:
    result = fuse_scene(scene)
    assert [segment.id for segment in result.segments] == [1, 2]
    road, thing = result.segments
    assert road.category.name == "road"
    assert road.score > 0.99, "it is far from all others"
    assert (thing.category.name, thing.category.is_thing, thing.score) == ("person", True, 0.75)
    assert thing.box == (16, 24, 32, 16)
    assert thing.centroid == (31.5, 31.5)
    # Bilinear up-sampling removes a pixel at each of the four corners.
    assert thing.area == 32 * 16 - 4 == (result.label_map == thing.id).sum()


def test_small_stuff_becomes_unlabelled_and_ids_stay_dense(scene: torch.Tensor) -> None:
    result = fuse_scene(scene)
    assert (result.label_map[:4] == 0).all()
    assert sorted(np.unique(result.label_map)) == [0, 1, 2]


def test_an_instance_without_a_pixel_is_no_segment() -> None:
    result = fuse_scene(torch.full((16, 16), ROAD))
    assert [segment.category.name for segment in result.segments] == ["road"]


def test_a_frame_may_have_no_segment_at_all() -> None:
    scene = torch.full((4, 4), ROAD)
    result = fuse_scene(scene, detected=0)
    assert result.segments == ()
    assert (result.label_map == 0).all()


def test_category_from_the_embedding(scene: torch.Tensor) -> None:
    result = fuse_scene(scene, memory_of_things="per_class", instance_category="embedding")
    assert result.segments[1].category.name == "car"


def test_semantic_map_holds_the_data_sets_ids(scene: torch.Tensor) -> None:
    result = fuse_scene(scene)
    semantic = result.semantic_map()
    assert semantic.dtype == np.uint16
    assert sorted(np.unique(semantic)) == [0, 3, 12]
    assert (semantic[25:39, 17:47] == 12).all()


def test_a_semantic_branch_decides_upon_stuff_and_things() -> None:
    """Compare with a computation for each pixel."""
    geometry = ImageGeometry((30, 45), (32, 48), (32, 64))
    embedding, logits = torch.randn(8, 8, 16), torch.randn(4, 8, 16)
    queries, boxes = torch.randn(2, 8), torch.tensor([[4.0, 4, 30, 30], [20.0, 10, 47, 20]])
    winners = assign_by_semantics(embedding, logits, queries, boxes, geometry)
    grid = sampling_grid(geometry, embedding)
    for y, x in [(0, 0), (10, 10), (12, 25), (15, 40), (29, 44), (20, 20), (9, 22), (17, 30)]:
        at_pixel = grid.columns.interpolate(grid.rows.interpolate(torch.cat((logits, embedding)), 1), 2)[:, y, x]
        scores, p = at_pixel[:4], F.normalize(at_pixel[4:], dim=0)
        px, py = (x + 0.5) * 48 / 45, (y + 0.5) * 32 / 30
        inside = [x1 <= px <= x2 and y1 <= py <= y2 for x1, y1, x2, y2 in boxes.tolist()]
        similarity = {k: float(p @ F.normalize(queries[k], dim=0)) for k in range(2) if inside[k]}
        is_thing = scores.argmax() == 3 and bool(similarity)
        expected = 3 + max(similarity, key=lambda k: similarity[k]) if is_thing else int(scores[:3].argmax())
        assert winners[y, x] == expected
    assert {int(value) for value in winners.unique()} == {0, 1, 2, 3, 4}


def test_a_semantic_branch_without_instances_gives_stuff() -> None:
    logits = torch.full((4, 8, 16), -1.0)
    logits[3], logits[1] = 5, 0
    geometry = ImageGeometry((32, 64), (32, 64), (32, 64))
    nothing = torch.zeros(0, 8), torch.zeros(0, 4)
    assert (assign_by_semantics(torch.randn(8, 8, 16), logits, *nothing, geometry) == 1).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("of_semantic_branch", [False, True])
def test_non_finite_outputs_give_no_map(value: float, of_semantic_branch: bool) -> None:
    embedding, logits = torch.randn(4, 16, 16), torch.randn(3, 16, 16)
    (logits if of_semantic_branch else embedding)[1, 5, 7] = value
    nothing = torch.empty(0, dtype=torch.int64)
    instances = Instances(torch.empty(0, 4), torch.empty(0, 4), nothing, torch.empty(0))
    geometry = image_geometry(64, 64, 64, 64)
    with pytest.raises(NotFiniteError, match="fp16"):
        fuse_instances(embedding, instances, torch.eye(4)[:2], 0, geometry, logits if of_semantic_branch else None)


def test_non_finite_outputs_on_a_device_are_reported_with_the_result() -> None:
    nothing = torch.zeros(3, dtype=torch.int64)
    statistics = SegmentStatistics(nothing, torch.zeros(3, 4, dtype=torch.int64), torch.zeros(3, 2))
    fused = FusedImage(
        torch.zeros(4, 4, dtype=torch.int16),
        nothing,
        nothing,
        torch.full((3,), torch.nan),
        statistics,
        torch.zeros(3, 0),
        torch.empty(0, 0, dtype=torch.uint8),
    )
    with pytest.raises(NotFiniteError):
        fused.to_result(CATEGORIES)
