# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Assignment of masks and segment statistics in one pass over the image, for CUDA devices.

Like `mask_assignment`, which contains the definition. Each tile of pixels interpolates the logits of one kept query
after the other and keeps the best product, so no map of the image's size is written but the winners. The number of kept
queries is read on the device: all sizes depend only on shapes and nothing synchronises, so the kernels can be captured
into a CUDA graph.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ciae_ros.inference.fusion.mask_assignment import MaskAssignment
from ciae_ros.inference.fusion.sampling_grid import SamplingGrid
from ciae_ros.inference.fusion.segment_statistics import SegmentStatistics
from ciae_ros.inference.fusion.triton_assignment import NUM_FIELDS, REPLICAS, add_to_totals, summarize

TILE_HEIGHT, TILE_WIDTH = 16, 32
"""Size of a tile in pixels."""
NUM_WARPS = 8
"""Number of warps of a tile."""


def assign_and_measure_masks(
    mask_logits: Tensor, scores: Tensor, mask_threshold: float | Tensor, grid: SamplingGrid
) -> tuple[MaskAssignment, SegmentStatistics]:
    """Return the query of each pixel, and the statistics of each query's pixels.

    Args:
        mask_logits: (Q, h, w) float32, Q below 32767.
        scores: (Q,) float32 class probabilities; queries with 0 win no pixel.
        mask_threshold: threshold of the mask probability, 0 to 1; a number or a tensor ().
        grid: positions of the H x W pixels on the map, on the logits' device.
    """
    num_queries, map_height, map_width = mask_logits.shape
    height, width = len(grid.rows.cell), len(grid.columns.cell)
    device = mask_logits.device
    is_kept = scores > 0
    order = (~is_kept).to(torch.int8).sort(stable=True).indices
    thresholds = scores.new_zeros(()) + mask_threshold
    winners = torch.empty(height, width, dtype=torch.int16, device=device)
    totals = torch.zeros(REPLICAS, num_queries, NUM_FIELDS, dtype=torch.int64, device=device)
    areas = torch.zeros(REPLICAS, num_queries, 2, dtype=torch.int64, device=device)
    tiles = triton.cdiv(width, TILE_WIDTH), triton.cdiv(height, TILE_HEIGHT)
    with torch.cuda.device_of(mask_logits):
        assign_mask_tile[tiles](
            mask_logits.contiguous(),
            scores.contiguous(),
            order,
            is_kept.sum(),
            thresholds,
            *(grid.rows.cell, grid.rows.fraction, grid.columns.cell, grid.columns.fraction),
            winners,
            totals,
            areas,
            height,
            width,
            map_height,
            map_width,
            num_queries,
            TILE_HEIGHT=TILE_HEIGHT,
            TILE_WIDTH=TILE_WIDTH,
            NUM_FIELDS=NUM_FIELDS,
            REPLICAS=REPLICAS,
            num_warps=NUM_WARPS,
        )
        statistics = summarize(totals, height, width)
    mask_area, lost_area = areas.sum(dim=0).unbind(1)
    return MaskAssignment(winners, statistics.area + lost_area, mask_area), statistics


@triton.jit(do_not_specialize=["height", "width", "map_height", "map_width", "num_queries"])
def assign_mask_tile(
    logits: tl.tensor,
    scores: tl.tensor,
    order: tl.tensor,
    num_kept: tl.tensor,
    mask_threshold: tl.tensor,
    row_cell: tl.tensor,
    row_fraction: tl.tensor,
    column_cell: tl.tensor,
    column_fraction: tl.tensor,
    winners: tl.tensor,
    totals: tl.tensor,
    areas: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    map_height: tl.tensor,
    map_width: tl.tensor,
    num_queries: tl.tensor,
    TILE_HEIGHT: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
    NUM_FIELDS: tl.constexpr,
    REPLICAS: tl.constexpr,
) -> None:
    """Compute the winners of a tile; adds to the areas (REPLICAS, Q, 2) of masks and of won but unlabelled pixels."""
    NUM_PIXELS: tl.constexpr = TILE_HEIGHT * TILE_WIDTH
    top, left = tl.program_id(1) * TILE_HEIGHT, tl.program_id(0) * TILE_WIDTH
    pixel = tl.arange(0, NUM_PIXELS)
    y, x = top + pixel // TILE_WIDTH, left + pixel % TILE_WIDTH
    in_image = (y < height) & (x < width)
    # Beyond the image, repeat the last row and column; the results there are not used.
    inner_y, inner_x = tl.minimum(y, height - 1), tl.minimum(x, width - 1)
    fraction_y = tl.load(row_fraction + inner_y)
    fraction_x = tl.load(column_fraction + inner_x)
    corner = tl.load(row_cell + inner_y).to(tl.int32) * map_width + tl.load(column_cell + inner_x).to(tl.int32)
    threshold = tl.load(mask_threshold)
    replica = (tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)) % REPLICAS
    replica_areas = areas + replica * num_queries * 2

    best = tl.zeros((NUM_PIXELS,), tl.float32)
    best_probability = tl.zeros((NUM_PIXELS,), tl.float32)
    best_query = tl.full((NUM_PIXELS,), 0, tl.int32) + num_queries
    for n in range(tl.load(num_kept).to(tl.int32)):
        query = tl.load(order + n).to(tl.int32)
        samples = logits + query.to(tl.int64) * map_height * map_width + corner
        a, b = tl.load(samples), tl.load(samples + 1)
        c, d = tl.load(samples + map_width), tl.load(samples + map_width + 1)
        upper = a + (b - a) * fraction_x
        lower = c + (d - c) * fraction_x
        probability = tl.sigmoid(upper + (lower - upper) * fraction_y)
        is_inside = in_image & (probability >= threshold)
        tl.atomic_add(replica_areas + 2 * query, tl.sum(is_inside.to(tl.int64), 0), sem="relaxed")
        product = probability * tl.load(scores + query)
        is_better = product > best
        best = tl.where(is_better, product, best)
        best_probability = tl.where(is_better, probability, best_probability)
        best_query = tl.where(is_better, query, best_query)

    is_labelled = best_probability >= threshold
    winner = tl.where(is_labelled, best_query, num_queries)
    tl.store(winners + y.to(tl.int64) * width + x, winner.to(tl.int16), mask=in_image)
    add_to_totals(
        totals + replica * num_queries * NUM_FIELDS, winner, x, y, in_image, height, width, num_queries, NUM_FIELDS
    )
    remaining = tl.where(in_image & (is_labelled == 0), best_query, num_queries)
    query = tl.min(remaining, 0)
    while query < num_queries:
        is_lost = remaining == query
        tl.atomic_add(replica_areas + 2 * query + 1, tl.sum(is_lost.to(tl.int64), 0), sem="relaxed")
        remaining = tl.where(is_lost, num_queries, remaining)
        query = tl.min(remaining, 0)
