# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Assignment and segment statistics in one pass over the image, for CUDA devices.

Implements Eq. 16 with the box filter of Sec. IV-B, like `assignment.assign_pixels`. Each tile of pixels interpolates
its embeddings from the stride-4 map, multiplies them with a block of queries at a time and keeps the best: neither the
full-size embedding nor the similarities of pixels to queries are written to global memory. Most instances have no pixel
in a tile: those that may have one are gathered first, so no product is computed for the others. The tile also adds its
pixels to area, box and centroid of their segments.

All sizes depend only on shapes and nothing synchronises, so the kernels can be captured into a CUDA graph.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

from ciae_ros.inference.fusion.sampling_grid import SamplingGrid
from ciae_ros.inference.fusion.segment_statistics import SegmentStatistics

Precision = Literal["ieee", "tf32x3"]
"""Precision of the products: float32, or three TF32 products on tensor cores, which is almost as accurate."""

NUM_FIELDS = 8
"""Fields of a query in `totals`: area, sum of x, sum of y, and maxima of width - x, height - y, x + 1, y + 1."""
REPLICAS = 16
"""Number of copies of the totals. Neighbouring tiles mostly have the same winner and add to different copies."""

TILE_HEIGHT, TILE_WIDTH = 8, 16
"""Size of a tile in pixels."""
BLOCK_QUERIES = 16
"""Number of queries that a tile is multiplied with at a time."""
BLOCK_BOXES = 128
"""Number of instance boxes that a tile checks at a time."""


def assign_and_measure(
    embedding: Tensor, queries: Tensor, boxes: Tensor, grid: SamplingGrid, precision: Precision = "ieee"
) -> tuple[Tensor, SegmentStatistics]:
    """Return the most similar eligible query of each pixel, and the statistics of each query's pixels.

    Args:
        embedding: (D, h, w) of any float type, map of one padded image at stride 4, not normalised. It is not copied if
            its memory format is channels_last.
        queries: (Q, D) float32 of norm 1, Q below 32768: Q - K stuff queries (at least one), which are eligible
            everywhere, followed by K instance queries.
        boxes: (K, 4) float32 x1, y1, x2, y2 in pixels of the network's input: an instance is eligible at pixels whose
            centres are inside its box. A box with x1 > x2 contains no pixel.
        grid: positions of the H x W pixels on the map, on the embedding's device.
        precision: precision of the products.

    Returns:
        (H, W) int16 indices of queries, ties going to the first; and the statistics of the Q queries.
    """
    samples = embedding.permute(1, 2, 0).contiguous()
    num_queries, depth = queries.shape
    height, width = len(grid.rows.cell), len(grid.columns.cell)
    winners = torch.empty(height, width, dtype=torch.int16, device=embedding.device)
    totals = torch.zeros(REPLICAS, num_queries, NUM_FIELDS, dtype=torch.int64, device=embedding.device)
    tiles = triton.cdiv(width, TILE_WIDTH), triton.cdiv(height, TILE_HEIGHT)
    with torch.cuda.device_of(embedding):
        assign_tile[tiles](
            samples,
            queries.contiguous(),
            boxes.contiguous(),
            *(grid.rows.center, grid.rows.cell, grid.rows.fraction),
            *(grid.columns.center, grid.columns.cell, grid.columns.fraction),
            winners,
            totals,
            height,
            width,
            samples.shape[1],
            num_queries - len(boxes),
            len(boxes),
            **assignment_constants(depth, precision),
            **launch_options(depth),
        )
        return winners, summarize(totals, height, width)


def launch_options(depth: int) -> dict[str, Any]:
    """Return the launch options of `assign_tile`: as few warps as hold the embeddings of a tile in their registers."""
    return {"num_warps": 4 if depth <= 32 else 8}


def assignment_constants(depth: int, precision: Precision) -> dict[str, Any]:
    """Return the compile-time constants of `assign_tile` for embeddings of `depth` dimensions."""
    return {
        "DEPTH": depth,
        "BLOCK_DEPTH": max(16, triton.next_power_of_2(depth)),
        "TILE_HEIGHT": TILE_HEIGHT,
        "TILE_WIDTH": TILE_WIDTH,
        "BLOCK_QUERIES": BLOCK_QUERIES,
        "BLOCK_BOXES": BLOCK_BOXES,
        "NUM_FIELDS": NUM_FIELDS,
        "REPLICAS": REPLICAS,
        "PRECISION": precision,
    }


@triton.jit(do_not_specialize=["height", "width", "map_width", "num_stuff", "num_instances"])
def assign_tile(
    samples: tl.tensor,
    queries: tl.tensor,
    boxes: tl.tensor,
    row_center: tl.tensor,
    row_cell: tl.tensor,
    row_fraction: tl.tensor,
    column_center: tl.tensor,
    column_cell: tl.tensor,
    column_fraction: tl.tensor,
    winners: tl.tensor,
    totals: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    map_width: tl.tensor,
    num_stuff: tl.tensor,
    num_instances: tl.tensor,
    DEPTH: tl.constexpr,
    BLOCK_DEPTH: tl.constexpr,
    TILE_HEIGHT: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_BOXES: tl.constexpr,
    NUM_FIELDS: tl.constexpr,
    REPLICAS: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """Compute the winners of a tile. The samples are (h, w, D), the totals (REPLICAS, Q, NUM_FIELDS)."""
    NUM_PIXELS: tl.constexpr = TILE_HEIGHT * TILE_WIDTH
    top, left = tl.program_id(1) * TILE_HEIGHT, tl.program_id(0) * TILE_WIDTH
    pixel = tl.arange(0, NUM_PIXELS)
    y, x = top + pixel // TILE_WIDTH, left + pixel % TILE_WIDTH
    in_image = (y < height) & (x < width)
    # Beyond the image, repeat the last row and column; the results there are not used.
    inner_y, inner_x = tl.minimum(y, height - 1), tl.minimum(x, width - 1)
    p = interpolate(
        samples,
        tl.load(row_cell + inner_y).to(tl.int32),
        tl.load(row_fraction + inner_y).to(tl.float32),
        tl.load(column_cell + inner_x).to(tl.int32),
        tl.load(column_fraction + inner_x).to(tl.float32),
        map_width,
        DEPTH,
        BLOCK_DEPTH,
    )

    # Each column keeps the best of every BLOCK_QUERIES-th query; the columns are compared at the end.
    best = tl.full((NUM_PIXELS, BLOCK_QUERIES), float("-inf"), tl.float32)
    best_query = tl.zeros((NUM_PIXELS, BLOCK_QUERIES), tl.int32)
    column = tl.arange(0, BLOCK_QUERIES)
    for start in range(0, num_stuff, BLOCK_QUERIES):
        query = start + column
        is_stuff = query < num_stuff
        similarity = multiply(p, queries, query, is_stuff, DEPTH, BLOCK_DEPTH, PRECISION)
        better = (similarity > best) & is_stuff[None, :]
        best = tl.where(better, similarity, best)
        best_query = tl.where(better, query[None, :], best_query)

    center_y, center_x = tl.load(row_center + inner_y), tl.load(column_center + inner_x)
    low_y, high_y = tl.load(row_center + top), tl.load(row_center + tl.minimum(top + TILE_HEIGHT, height) - 1)
    low_x, high_x = tl.load(column_center + left), tl.load(column_center + tl.minimum(left + TILE_WIDTH, width) - 1)
    for start in range(0, num_instances, BLOCK_BOXES):
        instance = start + tl.arange(0, BLOCK_BOXES)
        exists = instance < num_instances
        x1 = tl.load(boxes + 4 * instance, mask=exists, other=1.0)
        y1 = tl.load(boxes + 4 * instance + 1, mask=exists, other=1.0)
        x2 = tl.load(boxes + 4 * instance + 2, mask=exists, other=0.0)
        y2 = tl.load(boxes + 4 * instance + 3, mask=exists, other=0.0)
        touches = exists & (x1 <= high_x) & (x2 >= low_x) & (y1 <= high_y) & (y2 >= low_y) & (x1 <= x2) & (y1 <= y2)
        rank = tl.where(touches, tl.cumsum(touches.to(tl.int32), 0) - 1, BLOCK_BOXES)
        num_touching = tl.sum(touches.to(tl.int32), 0)
        for first in range(0, num_touching, BLOCK_QUERIES):
            # Gather the instances of the next ranks, in order.
            is_used = first + column < num_touching
            is_of_rank = rank[:, None] == (first + column)[None, :]
            k = tl.sum(tl.where(is_of_rank, instance[:, None], 0), 0)
            query = num_stuff + k
            similarity = multiply(p, queries, query, is_used, DEPTH, BLOCK_DEPTH, PRECISION)
            better = (similarity > best) & is_used[None, :]
            better &= center_x[:, None] >= tl.load(boxes + 4 * k)[None, :]
            better &= center_y[:, None] >= tl.load(boxes + 4 * k + 1)[None, :]
            better &= center_x[:, None] <= tl.load(boxes + 4 * k + 2)[None, :]
            better &= center_y[:, None] <= tl.load(boxes + 4 * k + 3)[None, :]
            best = tl.where(better, similarity, best)
            best_query = tl.where(better, query[None, :], best_query)

    is_best = best == tl.max(best, 1)[:, None]
    winner = tl.min(tl.where(is_best, best_query, num_stuff + num_instances), 1)
    tl.store(winners + y.to(tl.int64) * width + x, winner.to(tl.int16), mask=in_image)
    replica = (tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)) % REPLICAS
    num_queries = num_stuff + num_instances
    replica_totals = totals + replica * num_queries * NUM_FIELDS
    add_to_totals(replica_totals, winner, x, y, in_image, height, width, num_queries, NUM_FIELDS)


@triton.jit
def interpolate(
    samples: tl.tensor,
    cell_y: tl.tensor,
    fraction_y: tl.tensor,
    cell_x: tl.tensor,
    fraction_x: tl.tensor,
    map_width: tl.tensor,
    DEPTH: tl.constexpr,
    BLOCK_DEPTH: tl.constexpr,
) -> tl.tensor:
    """Interpolate the embeddings (pixels, BLOCK_DEPTH) float32 at pixels of these cells; 0 beyond DEPTH."""
    dimension = tl.arange(0, BLOCK_DEPTH)[None, :]
    exists = dimension < DEPTH
    upper = samples + (cell_y * map_width + cell_x)[:, None] * DEPTH + dimension
    lower = upper + map_width * DEPTH
    a = tl.load(upper, mask=exists, other=0.0).to(tl.float32)
    b = tl.load(upper + DEPTH, mask=exists, other=0.0).to(tl.float32)
    c = tl.load(lower, mask=exists, other=0.0).to(tl.float32)
    d = tl.load(lower + DEPTH, mask=exists, other=0.0).to(tl.float32)
    at_upper = a + (b - a) * fraction_x[:, None]
    at_lower = c + (d - c) * fraction_x[:, None]
    return at_upper + (at_lower - at_upper) * fraction_y[:, None]


@triton.jit
def multiply(
    p: tl.tensor,
    queries: tl.tensor,
    query: tl.tensor,
    is_used: tl.tensor,
    DEPTH: tl.constexpr,
    BLOCK_DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Compute the similarities (pixels, queries) of embeddings p to the queries of these indices."""
    dimension = tl.arange(0, BLOCK_DEPTH)
    exists = (dimension < DEPTH)[:, None] & is_used[None, :]
    v = tl.load(queries + query[None, :] * DEPTH + dimension[:, None], mask=exists, other=0.0)
    return tl.dot(p, v, input_precision=PRECISION)


@triton.jit
def add_to_totals(
    totals: tl.tensor,
    winner: tl.tensor,
    x: tl.tensor,
    y: tl.tensor,
    in_image: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    num_queries: tl.tensor,
    NUM_FIELDS: tl.constexpr,
) -> None:
    """Add a tile's pixels to the totals (Q, NUM_FIELDS) of their winners, one winner at a time."""
    field = tl.arange(0, NUM_FIELDS)
    fields = field[None, :]
    x, y = x[:, None], y[:, None]
    addend = tl.where(fields == 0, 1, tl.where(fields == 1, x, y))
    extreme = tl.where(fields == 3, width - x, tl.where(fields == 4, height - y, tl.where(fields == 5, x + 1, y + 1)))
    remaining = tl.where(in_image, winner, num_queries)
    query = tl.min(remaining, 0)
    while query < num_queries:
        is_won = remaining == query
        total = tl.sum(tl.where(is_won[:, None], addend, 0), 0)
        highest = tl.max(tl.where(is_won[:, None], extreme, 0), 0)
        place = totals + query * NUM_FIELDS + field
        tl.atomic_add(place, total.to(tl.int64), mask=field < 3, sem="relaxed")
        tl.atomic_max(place, highest.to(tl.int64), mask=(field >= 3) & (field < 7), sem="relaxed")
        remaining = tl.where(is_won, num_queries, remaining)
        query = tl.min(remaining, 0)


def summarize(totals: Tensor, height: int, width: int) -> SegmentStatistics:
    """Return the statistics from the totals (REPLICAS, Q, NUM_FIELDS) int64 of an image of this size."""
    num_queries = totals.shape[1]
    area = totals.new_empty(num_queries)
    box = totals.new_empty(num_queries, 4)
    centroid = torch.empty(num_queries, 2, dtype=torch.float64, device=totals.device)
    blocks = (triton.cdiv(num_queries, 32),)
    finish_statistics[blocks](
        totals, area, box, centroid, height, width, num_queries, NUM_FIELDS=NUM_FIELDS, REPLICAS=REPLICAS, BLOCK=32
    )
    return SegmentStatistics(area, box, centroid)


@triton.jit(do_not_specialize=["height", "width", "num_queries"])
def finish_statistics(
    totals: tl.tensor,
    area: tl.tensor,
    box: tl.tensor,
    centroid: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    num_queries: tl.tensor,
    NUM_FIELDS: tl.constexpr,
    REPLICAS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Reduce the totals (REPLICAS, Q, NUM_FIELDS) of a block of queries to `SegmentStatistics`."""
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = query < num_queries
    replica = tl.arange(0, REPLICAS)
    place = totals + (replica[:, None] * num_queries + query[None, :]) * NUM_FIELDS
    is_there = exists[None, :] & (replica >= 0)[:, None]
    pixels = tl.sum(tl.load(place, mask=is_there, other=0), 0)
    sum_x = tl.sum(tl.load(place + 1, mask=is_there, other=0), 0)
    sum_y = tl.sum(tl.load(place + 2, mask=is_there, other=0), 0)
    first_x = width - tl.max(tl.load(place + 3, mask=is_there, other=0), 0)
    first_y = height - tl.max(tl.load(place + 4, mask=is_there, other=0), 0)
    end_x = tl.max(tl.load(place + 5, mask=is_there, other=0), 0)
    end_y = tl.max(tl.load(place + 6, mask=is_there, other=0), 0)
    tl.store(area + query, pixels, mask=exists)
    tl.store(box + 4 * query, first_x, mask=exists)
    tl.store(box + 4 * query + 1, first_y, mask=exists)
    tl.store(box + 4 * query + 2, end_x - first_x, mask=exists)
    tl.store(box + 4 * query + 3, end_y - first_y, mask=exists)
    tl.store(centroid + 2 * query, sum_x.to(tl.float64) / pixels.to(tl.float64), mask=exists)
    tl.store(centroid + 2 * query + 1, sum_y.to(tl.float64) / pixels.to(tl.float64), mask=exists)
