# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The assignment kernel compared with Eq. 16 taken literally, and its statistics with a count of the winners."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("triton")

from ciae_ros.inference.fusion import fusion
from ciae_ros.inference.fusion.fusion import Instances, fuse_instances
from ciae_ros.inference.fusion.sampling_grid import SamplingGrid, sampling_grid
from ciae_ros.inference.fusion.segment_statistics import SegmentStatistics, statistics_from_projections
from ciae_ros.inference.fusion.triton_assignment import Precision, assign_and_measure
from ciae_ros.inference.fusion.triton_lookup import look_up
from ciae_ros.inference.geometry import ImageGeometry, image_geometry
from tests.inference.triton_device import DEVICE, needs_cuda, needs_device

pytestmark = needs_device

TOLERANCE = 1e-5
"""Maximum difference of a winner's cosine similarity from the best one; float32 has about 1e-7."""

Case = tuple[Tensor, Tensor, Tensor, ImageGeometry]
"""Embedding, normalised queries, boxes of the last of them."""


def random_case(
    size: tuple[int, int], num_stuff: int, num_instances: int, grain: int = 8, depth: int = 32, input_size: int = 64
) -> Case:
    """Create random embeddings that are smooth over about `grain` samples, random queries and random boxes."""
    geometry = image_geometry(*size, input_size, 2 * input_size)
    height, width = geometry.padded[0] // 4, geometry.padded[1] // 4
    coarse = torch.randn(1, depth, max(2, height // grain), max(2, width // grain))
    embedding = F.interpolate(coarse, size=(height, width), mode="bicubic")[0]
    embedding += 0.05 * torch.randn_like(embedding)
    queries = F.normalize(torch.randn(num_stuff + num_instances, depth), dim=1)
    extent = torch.tensor([geometry.padded[1], geometry.padded[0]])
    centers = torch.rand(num_instances, 2) * extent
    sides = torch.rand(num_instances, 2) * extent / 2
    return embedding, queries, torch.cat((centers - sides / 2, centers + sides / 2), dim=1), geometry


def on_device(grid: SamplingGrid) -> SamplingGrid:
    def moved(axis: str) -> dict[str, Tensor]:
        samples = getattr(grid, axis)
        return {name: getattr(samples, name).to(DEVICE) for name in ("center", "cell", "fraction")}

    return SamplingGrid(replace(grid.rows, **moved("rows")), replace(grid.columns, **moved("columns")))


def run(case: Case, precision: Precision = "ieee") -> tuple[Tensor, SegmentStatistics]:
    embedding, queries, boxes, geometry = case
    grid = on_device(sampling_grid(geometry, embedding))
    winners, statistics = assign_and_measure(
        embedding.to(DEVICE), queries.to(DEVICE), boxes.to(DEVICE), grid, precision
    )
    assert winners.dtype == torch.int16
    return winners.cpu(), SegmentStatistics(*(column.cpu() for column in statistics))


def literal_similarity(case: Case) -> Tensor:
    """(H, W, Q) float64 cosine similarities; -inf outside of an instance's box."""
    embedding, queries, boxes, geometry = case
    grid = sampling_grid(geometry, embedding.double())
    P = F.normalize(grid.columns.interpolate(grid.rows.interpolate(embedding.double(), dim=1), dim=2), dim=0)
    S = torch.einsum("dhw,qd->hwq", P, queries.double())
    S[..., len(queries) - len(boxes) :].masked_fill_(~grid.inside(boxes).permute(1, 2, 0), -torch.inf)
    return S


def check(case: Case, precision: Precision = "ieee") -> Tensor:
    """Return the winners, after comparing them and their statistics with the literal ones."""
    winners, statistics = run(case, precision)
    similarity = literal_similarity(case)
    highest, best = similarity.max(dim=2)
    lost = highest - similarity.gather(2, winners.long()[..., None])[..., 0]
    assert lost.max() < TOLERANCE
    assert (winners != best).float().mean() < 1e-3
    check_statistics(statistics, winners, len(case[1]))
    return winners


def check_statistics(statistics: SegmentStatistics, winners: Tensor, num_queries: int) -> None:
    expected = statistics_from_projections(winners, num_queries)
    assert torch.equal(statistics.area, expected.area)
    used = expected.area > 0
    assert torch.equal(statistics.box[used], expected.box[used])
    assert torch.equal(statistics.centroid[used], expected.centroid[used])


@pytest.mark.parametrize("size", [(64, 64), (37, 41), (2, 90), (1, 1)])
@pytest.mark.parametrize(("num_stuff", "num_instances"), [(1, 0), (5, 20), (53, 100)])
def test_random_images_of_any_size(size: tuple[int, int], num_stuff: int, num_instances: int) -> None:
    check(random_case(size, num_stuff, num_instances))


@pytest.mark.parametrize("grain", [1, 30])
def test_rough_and_smooth_images(grain: int) -> None:
    winners = check(random_case((48, 64), 5, 30, grain))
    assert (winners >= 5).any() and (winners < 5).any()


@pytest.mark.parametrize(
    ("depth", "precision"), [(16, "ieee"), (24, "tf32x3"), (32, "ieee"), (32, "tf32x3"), (48, "ieee"), (48, "tf32x3")]
)
def test_any_depth(depth: int, precision: Precision) -> None:
    check(random_case((30, 50), 17, 20, depth=depth), precision)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_type_of_embedding_is_taken_exactly(dtype: torch.dtype) -> None:
    embedding, *others = random_case((30, 50), 17, 20)
    check((embedding.to(dtype), *others))


def test_more_instances_than_are_looked_at_at_once() -> None:
    case = random_case((12, 20), 3, 300, grain=1)
    case[2][40:] = torch.tensor([-5.0, -5, 500, 500])
    winners = check(case)
    assert (winners >= 3 + 256).any()


def test_a_part_of_a_batch_in_channels_last() -> None:
    case = random_case((37, 41), 5, 10)
    batch = torch.stack((case[0], case[0])).contiguous(memory_format=torch.channels_last)
    assert torch.equal(run((batch[1], *case[1:]))[0], run(case)[0])


def test_boxes_at_the_edges_of_tiles_and_of_pixels() -> None:
    embedding, queries, _, geometry = random_case((64, 64), 1, 10)
    assert geometry.scale_x == geometry.scale_y == 1
    # Every instance wins inside its box: the stuff is opposite, later instances are not better.
    embedding = embedding.abs()
    queries = torch.cat((-torch.ones(1, 32), torch.ones(10, 32))) / 32**0.5
    boxes = torch.tensor(
        [
            [0.0, 0.0, 15.5, 7.5],
            [15.6, 0.0, 32.0, 7.5],
            [32.5, 0.5, 32.5, 0.5],
            [33.0, 0.6, 40.0, 1.4],
            [16.0, 8.0, 32.0, 16.0],
            [15.5, 24.5, 16.5, 24.5],
            [47.5, 31.5, 48.5, 32.5],
            [63.5, 63.5, 500.0, 500.0],
            [-50.0, 40.0, 0.5, 48.0],
            [64.0, 64.0, 70.0, 70.0],
        ]
    )
    winners = check((embedding, queries, boxes, geometry))
    areas = winners.long().flatten().bincount(minlength=11)[1:]
    assert areas.tolist() == [16 * 8, 16 * 8, 1, 0, 16 * 8, 2, 4, 1, 8, 0]


def test_padding_never_wins() -> None:
    _, _, _, geometry = random_case((32, 32), 1, 1)
    embedding = torch.ones(32, 16, 16)
    queries = torch.cat((-torch.ones(1, 32), torch.ones(4, 32))) / 32**0.5
    boxes = torch.tensor([[1.0, 1, 0, 0], [30.0, 3, 5, 40], [3.0, 30, 40, 5], [torch.nan] * 4])
    winners, statistics = run((embedding, queries, boxes, geometry))
    assert (winners == 0).all()
    assert statistics.area.tolist() == [32 * 32, 0, 0, 0, 0]


@pytest.mark.parametrize("distance", [16, 20])
def test_equal_queries_go_to_the_first(distance: int) -> None:
    """Whether the copy is compared with the first in the next block of queries or at the end."""
    embedding, queries, boxes, geometry = random_case((40, 60), 2 * distance, 2 * distance, grain=4)
    boxes[:] = torch.tensor([5.0, 5, 60, 60])
    stuff, copies, instances, more_copies = queries.split(distance)
    copies[:], more_copies[:] = stuff, instances
    winners, _ = run((embedding, queries, boxes, geometry))
    assert set(winners.unique().tolist()) <= {*range(distance), *range(2 * distance, 3 * distance)}
    assert (winners < distance).any() and (winners >= 2 * distance).any()


def test_an_embedding_that_is_not_a_number_goes_to_some_query() -> None:
    embedding, *others = random_case((32, 32), 3, 5)
    embedding[:, 4] = torch.nan
    winners, statistics = run((embedding, *others))
    assert winners.min() >= 0 and winners.max() < 8
    assert statistics.area.sum() == winners.numel()


@pytest.mark.parametrize("size", [(1, 1), (33, 95)])
def test_look_up(size: tuple[int, int]) -> None:
    table, index = torch.randint(-9, 9, (200,), dtype=torch.int16), torch.randint(0, 200, size, dtype=torch.int16)
    assert torch.equal(look_up(table.to(DEVICE), index.to(DEVICE)).cpu(), table[index.long()])


def test_fused_image_equals_that_without_kernels_and_ignores_padding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embedding, queries, boxes, geometry = random_case((26, 40), 6, 9)
    instances = Instances(queries[6:], boxes, torch.arange(9), torch.rand(9))
    expected = fuse_instances(embedding, instances, queries[:6], 400, geometry)
    monkeypatch.setattr(fusion, "runs_triton", lambda _: True)

    def fuse_with_padding(unused: int) -> fusion.FusedImage:
        padding = torch.zeros(unused, dtype=torch.long)
        with_padding = Instances(
            torch.cat((instances.queries, instances.queries[padding])).to(DEVICE),
            torch.cat((boxes, torch.tensor([[1.0, 1, 0, 0]]).expand(unused, -1))).to(DEVICE),
            torch.cat((instances.classes, padding)).to(DEVICE),
            torch.cat((instances.scores, padding.float())).to(DEVICE),
        )
        return fuse_instances(embedding.to(DEVICE), with_padding, queries[:6].to(DEVICE), 400, geometry)

    exact, padded = fuse_with_padding(0), fuse_with_padding(20)
    assert (exact.label_map.cpu() != expected.label_map).float().mean() < 1e-3
    assert exact.label_map.unique().tolist() == expected.label_map.unique().tolist()
    assert exact.label_map.dtype == torch.int16
    assert torch.equal(exact.segment_id.cpu(), expected.segment_id)
    assert torch.equal(exact.category.cpu(), expected.category)
    assert torch.equal(padded.label_map, exact.label_map)
    assert torch.equal(padded.segment_id[:15], exact.segment_id)
    assert not padded.segment_id[15:].any()
    assert {field.name for field in fields(exact)} == {field.name for field in fields(expected)}


@needs_cuda
def test_fusion_can_be_captured_without_synchronisation() -> None:
    embedding, queries, boxes, geometry = random_case((480, 640), 53, 100, input_size=480)
    embedding, queries, boxes = embedding.cuda(), queries.cuda(), boxes.cuda()
    instances = Instances(queries[53:], boxes, torch.zeros(100, dtype=torch.long).cuda(), torch.rand(100).cuda())
    expected = fuse_instances(embedding, instances, queries[:53], 4096, geometry)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    torch.cuda.set_sync_debug_mode("error")
    try:
        fuse_instances(embedding, instances, queries[:53], 4096, geometry)
        with torch.cuda.graph(graph):
            fused = fuse_instances(embedding, instances, queries[:53], 4096, geometry)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for _ in range(2):
        graph.replay()
        assert torch.equal(fused.label_map, expected.label_map)
        assert torch.equal(fused.statistics.area, expected.statistics.area)
    assert expected.statistics.area.sum() == 480 * 640


@needs_cuda
@pytest.mark.parametrize("precision", ["ieee", "tf32x3"])
def test_a_large_image(precision: Precision) -> None:
    check(random_case((540, 960), 53, 100, grain=20, input_size=800), precision)
