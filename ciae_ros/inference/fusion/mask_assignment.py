# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Assignment of every pixel to a query of a network that predicts a class and a mask for each query.

A pixel goes to the query with the highest product of class probability and mask probability (Cheng et al., Mask2Former,
and Kerssies et al., EoMT), and is unlabelled if its mask probability is below a threshold. Mask logits are interpolated
bilinearly from the network's map to the pixels of the image in one step.

On a CPU most pixels are decided by the corners of their cell, between four neighbouring samples of the map: there the
logit of a query lies between its lowest and its highest corner, and both probabilities rise with it. A query whose best
corner is below another's worst corner wins no pixel of the cell, and only borders are evaluated pixel by pixel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ciae_ros.core.compiled import compiled, inlined
from ciae_ros.inference.fusion.sampling_grid import SampledAxis, SamplingGrid
from ciae_ros.inference.row_blocks import for_row_blocks, num_row_blocks

PIXELS_PER_CHUNK = 1 << 16
"""Bound on the pixels whose logits of all queries are held at once by `assign_masks_by_rows`."""


class MaskAssignment(NamedTuple):
    """The queries of the pixels of an image, and what the check for overlaps needs to know of Q queries."""

    winners: Tensor
    """(H, W) int16 index of the query; Q for unlabelled pixels."""
    won_area: Tensor
    """(Q,) int64 number of pixels at which the query has the highest product, unlabelled ones included."""
    mask_area: Tensor
    """(Q,) int64 number of pixels at which the mask probability of the query reaches the threshold."""


def assign_masks_by_cells(
    mask_logits: Tensor, scores: Tensor, mask_threshold: float, grid: SamplingGrid
) -> MaskAssignment:
    """Assign the pixels of an image on the CPU.

    Args:
        mask_logits: (Q, h, w) float32; h and w at least 2, Q below 32767.
        scores: (Q,) float32 class probabilities, above 0.
        mask_threshold: threshold of the mask probability, 0 to 1.
        grid: positions of the pixels on the map.
    """
    num_queries, map_height, _ = mask_logits.shape
    rows, columns = _axis(grid.rows), _axis(grid.columns)
    height, width = len(rows.fraction), len(columns.fraction)
    if num_queries == 0:
        none = torch.zeros(0, dtype=torch.int64)
        return MaskAssignment(torch.zeros(height, width, dtype=torch.int16), none, none)
    winners = np.empty((height, width), np.int16)
    areas = np.zeros((num_row_blocks(map_height - 1), 2, num_queries), np.int64)
    for_row_blocks(
        _assign_cell_rows,
        map_height - 1,
        mask_logits.contiguous().numpy(),
        (mask_logits.sigmoid() * scores[:, None, None]).numpy(),
        scores.numpy(),
        (scores * mask_threshold).numpy(),
        _logit(mask_threshold),
        rows,
        columns,
        winners,
        areas,
    )
    won_area, mask_area = torch.from_numpy(areas.sum(axis=0))
    return MaskAssignment(torch.from_numpy(winners), won_area, mask_area)


def assign_masks_by_rows(
    mask_logits: Tensor, scores: Tensor, mask_threshold: float | Tensor, grid: SamplingGrid
) -> MaskAssignment:
    """Compute all products of every pixel, a chunk of rows at a time, with shapes that do not depend on the data.

    Args:
        mask_logits: (Q, h, w) float32.
        scores: (Q,) float32 class probabilities; queries with 0 win no pixel.
        mask_threshold: threshold of the mask probability, 0 to 1; a number or a tensor ().
        grid: positions of the pixels on the map.
    """
    num_queries = len(mask_logits)
    height, width = len(grid.rows.cell), len(grid.columns.cell)
    winners = torch.full((height, width), num_queries, dtype=torch.int16, device=mask_logits.device)
    won_area = torch.zeros(num_queries + 1, dtype=torch.int64, device=mask_logits.device)
    mask_area = torch.zeros(num_queries, dtype=torch.int64, device=mask_logits.device)
    step = max(1, PIXELS_PER_CHUNK // width)
    for rows in (slice(top, top + step) for top in range(0, height, step)):
        at_pixels = grid.columns.interpolate(grid.rows.interpolate(mask_logits, dim=1, chunk=rows), dim=2).sigmoid()
        is_inside = at_pixels >= mask_threshold
        mask_area += is_inside.flatten(1).sum(dim=1)
        product, winner = (at_pixels * scores[:, None, None]).max(dim=0)
        winner = torch.where(product > 0, winner, num_queries)
        won_area.scatter_add_(0, winner.flatten(), torch.ones_like(winner).flatten())
        inside_own = is_inside.gather(0, winner[None].clamp(max=num_queries - 1))[0]
        winners[rows] = torch.where(inside_own, winner, num_queries)
    return MaskAssignment(winners, won_area[:-1], mask_area)


def _logit(probability: float) -> float:
    if probability in (0.0, 1.0):
        return math.inf if probability else -math.inf
    return math.log(probability / (1 - probability))


class _Axis(NamedTuple):
    """One axis of a `SamplingGrid` for compiled code."""

    fraction: np.ndarray
    """(n,) positions of the pixels within their cells, 0 to 1."""
    cell_start: np.ndarray
    """(m,) first pixel of every cell; the last entry is n."""


def _axis(axis: SampledAxis) -> _Axis:
    return _Axis(axis.fraction.numpy(), axis.cell_start())


@compiled
def _assign_cell_rows(
    block: int,
    top: int,
    bottom: int,
    logits: np.ndarray,
    products: np.ndarray,
    scores: np.ndarray,
    product_thresholds: np.ndarray,
    logit_threshold: float,
    rows: _Axis,
    columns: _Axis,
    winners: np.ndarray,
    areas: np.ndarray,
) -> None:
    """Assign the pixels in cell rows top to bottom.

    `products` (Q, h, w) are the products of class and mask probability at the samples, and `product_thresholds` (Q,)
    their values where the mask probability is at the threshold. `winners` (H, W) and `areas` (blocks, 2, Q: won and
    mask area) are written.
    """
    num_queries, num_cells = len(logits), logits.shape[2] - 1
    low = np.empty(num_cells, np.float32)
    high = np.empty((num_queries, num_cells), np.float32)
    to_beat = np.empty(num_cells, np.float32)
    open_queries = np.empty((num_cells, num_queries), np.int16)
    num_open = np.empty(num_cells, np.int64)
    corners = np.empty((num_queries, 4), np.float32)
    won_area, mask_area = areas[block]
    start = columns.cell_start
    for i in range(top, bottom):
        y0, y1 = rows.cell_start[i], rows.cell_start[i + 1]
        if y0 == y1:
            continue
        to_beat[:] = -1.0
        num_open[:] = 0
        for q in range(num_queries):
            _find_bounds(products[q, i], products[q, i + 1], low, high[q], to_beat)
            threshold = product_thresholds[q]
            for j in range(num_cells):
                if low[j] >= threshold:
                    mask_area[q] += (y1 - y0) * (start[j + 1] - start[j])
                elif high[q, j] >= threshold:
                    mask_area[q] += _count_inside(logits[q], i, j, y0, y1, rows, columns, logit_threshold)
        for q in range(num_queries):
            for j in range(num_cells):
                if high[q, j] >= to_beat[j]:
                    open_queries[j, num_open[j]] = q
                    num_open[j] += 1
        for j in range(num_cells):
            x0, x1 = start[j], start[j + 1]
            if x0 == x1:
                continue
            first = open_queries[j, 0]
            if num_open[j] == 1:
                won_area[first] += (y1 - y0) * (x1 - x0)
                if _lowest_corner(products[first], i, j) >= product_thresholds[first]:
                    winners[y0:y1, x0:x1] = first
                    continue
                if high[first, j] < product_thresholds[first]:
                    winners[y0:y1, x0:x1] = num_queries
                    continue
            for n in range(num_open[j]):
                of_query = logits[open_queries[j, n]]
                corners[n, 0], corners[n, 1] = of_query[i, j], of_query[i, j + 1]
                corners[n, 2], corners[n, 3] = of_query[i + 1, j], of_query[i + 1, j + 1]
            for y in range(y0, y1):
                for x in range(x0, x1):
                    winner, best, best_logit = first, -1.0, 0.0
                    for n in range(num_open[j]):
                        a, b, c, d = corners[n, 0], corners[n, 1], corners[n, 2], corners[n, 3]
                        logit = _interpolated(a, b, c, d, columns.fraction[x], rows.fraction[y])
                        q = open_queries[j, n]
                        product = scores[q] / (np.float32(1.0) + np.exp(-logit))
                        if product > best:
                            winner, best, best_logit = q, product, logit
                    if num_open[j] > 1:
                        won_area[winner] += 1
                    winners[y, x] = winner if best_logit >= logit_threshold else num_queries


@inlined
def _find_bounds(upper: np.ndarray, lower: np.ndarray, low: np.ndarray, high: np.ndarray, to_beat: np.ndarray) -> None:
    """Compute the lowest and highest corner of every cell between two rows of samples, and raise `to_beat`."""
    for j in range(len(low)):
        lowest = min(min(upper[j], upper[j + 1]), min(lower[j], lower[j + 1]))
        low[j] = lowest
        high[j] = max(max(upper[j], upper[j + 1]), max(lower[j], lower[j + 1]))
        to_beat[j] = max(to_beat[j], lowest)


@inlined
def _lowest_corner(values: np.ndarray, i: int, j: int) -> float:
    return min(min(values[i, j], values[i, j + 1]), min(values[i + 1, j], values[i + 1, j + 1]))


@inlined
def _interpolated(a: float, b: float, c: float, d: float, fraction_x: float, fraction_y: float) -> float:
    upper = a + (b - a) * fraction_x
    lower = c + (d - c) * fraction_x
    return upper + (lower - upper) * fraction_y


@inlined
def _count_inside(
    logits: np.ndarray, i: int, j: int, y0: int, y1: int, rows: _Axis, columns: _Axis, threshold: float
) -> int:
    """Count the pixels of cell (i, j), in rows y0 to y1, whose logit reaches the threshold."""
    a, b, c, d = logits[i, j], logits[i, j + 1], logits[i + 1, j], logits[i + 1, j + 1]
    count = 0
    for y in range(y0, y1):
        for x in range(columns.cell_start[j], columns.cell_start[j + 1]):
            if _interpolated(a, b, c, d, columns.fraction[x], rows.fraction[y]) >= threshold:
                count += 1
    return count
