# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Every fast assignment of pixels equals Eq. 16 taken literally, pixel for pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference.fusion.assignment import assign_by_rows, assign_pixels, assign_pixels_reference
from ciae_ros.inference.fusion.sampling_grid import sampling_grid
from ciae_ros.inference.geometry import ImageGeometry, image_geometry

Case = tuple[Tensor, Tensor, Tensor, Tensor, ImageGeometry]


def random_case(size: tuple[int, int], num_stuff: int, num_instances: int, grain: int, input_size: int = 96) -> Case:
    """Create random embeddings that are smooth over about `grain` samples, random queries and random boxes."""
    geometry = image_geometry(*size, input_size, 4 * input_size)
    height, width = geometry.padded[0] // 4, geometry.padded[1] // 4
    coarse = torch.randn(1, 32, max(2, height // grain), max(2, width // grain), dtype=torch.float64)
    embedding = F.interpolate(coarse, size=(height, width), mode="bicubic")[0]
    embedding += 0.05 * torch.randn_like(embedding)
    queries = torch.randn(num_stuff + num_instances, 32, dtype=torch.float64)
    extent = torch.tensor([geometry.padded[1], geometry.padded[0]])
    centers = torch.rand(num_instances, 2) * extent
    sides = torch.rand(num_instances, 2) * extent / 2
    boxes = torch.cat((centers - sides / 2, centers + sides / 2), dim=1)
    return embedding, queries[:num_stuff], queries[num_stuff:], boxes, geometry


@pytest.mark.parametrize("size", [(96, 96), (480, 640), (123, 457), (37, 41), (600, 33), (2, 300), (1, 1)])
@pytest.mark.parametrize(("num_stuff", "num_instances"), [(1, 0), (5, 20), (53, 100)])
@pytest.mark.parametrize("grain", [1, 8, 30])
def test_fast_paths_equal_the_literal_one(
    size: tuple[int, int], num_stuff: int, num_instances: int, grain: int
) -> None:
    case = random_case(size, num_stuff, num_instances, grain)
    literal = assign_pixels_reference(*case)
    assert torch.equal(assign_pixels(*case), literal)
    embedding, stuff, instances, boxes, geometry = case
    queries = F.normalize(torch.cat((stuff, instances)), dim=1)
    by_rows = assign_by_rows(embedding.permute(1, 2, 0) @ queries.T, boxes, sampling_grid(geometry, embedding))
    assert torch.equal(by_rows, literal)


def test_boxes_at_every_kind_of_edge() -> None:
    embedding, stuff, instances, _, geometry = random_case((96, 96), 2, 8, grain=1)
    boxes = torch.tensor(
        [
            [0.0, 0.0, 96.0, 96.0],
            [-50.0, -50.0, 500.0, 500.0],
            [10.0, 10.0, 10.0, 10.0],
            [20.5, 20.5, 20.5, 20.5],
            [30.0, 30.0, 20.0, 20.0],
            [200.0, 200.0, 300.0, 300.0],
            [95.5, 95.5, 96.0, 96.0],
            [0.0, 47.0, 96.0, 47.4],
        ]
    )
    case = embedding, stuff, instances, boxes, geometry
    assert torch.equal(assign_pixels(*case), assign_pixels_reference(*case))


def test_no_pixel_outside_its_box_goes_to_an_instance() -> None:
    embedding, stuff, instances, boxes, geometry = random_case((96, 96), 3, 30, grain=4)
    winners = assign_pixels(embedding, stuff, instances, boxes, geometry)
    y, x = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(96) + 0.5, indexing="ij")
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        outside = (x < x1) | (x > x2) | (y < y1) | (y > y2)
        assert not (winners[outside] == 3 + k).any()
    assert (winners >= 3).any()


def test_equal_queries_go_to_the_first() -> None:
    embedding, stuff, instances, boxes, geometry = random_case((96, 96), 4, 6, grain=4)
    stuff[2] = stuff[1]
    instances[4] = instances[3]
    boxes[4] = boxes[3]
    winners = assign_pixels(embedding, stuff, instances, boxes, geometry)
    assert not torch.isin(winners, torch.tensor([2, 4 + 4], dtype=torch.int16)).any()
    assert torch.isin(winners, torch.tensor([1, 4 + 3], dtype=torch.int16)).any()


def test_norms_of_embeddings_and_queries_change_nothing() -> None:
    embedding, stuff, instances, boxes, geometry = random_case((96, 96), 3, 10, grain=4)
    expected = assign_pixels(embedding, stuff, instances, boxes, geometry)
    scaled = assign_pixels(embedding * 7, stuff * 3, instances * 0.1, boxes, geometry)
    assert torch.equal(scaled, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_differs_in_few_pixels_only(dtype: torch.dtype) -> None:
    embedding, stuff, instances, boxes, geometry = random_case((480, 640), 53, 20, grain=8)
    embedding = embedding.to(dtype)
    exact = assign_pixels_reference(embedding.double(), stuff, instances, boxes, geometry)
    different = assign_pixels(embedding, stuff, instances, boxes, geometry) != exact
    assert different.float().mean() < 1e-4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_the_literal_one_and_does_not_wait_for_the_device() -> None:
    *tensors, geometry = random_case((480, 640), 53, 100, grain=8)
    on_device = [tensor.cuda() for tensor in tensors]
    assign_pixels(*on_device, geometry)
    torch.cuda.set_sync_debug_mode("error")
    try:
        winners = assign_pixels(*on_device, geometry)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(winners.cpu(), assign_pixels_reference(*tensors, geometry))
