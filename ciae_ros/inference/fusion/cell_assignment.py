# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Assignment on a CPU, which decides most pixels by the corners of the cell that they lie in.

Between four neighbouring samples of the embedding map every similarity is bilinear. A query that wins at all four
corners of a cell therefore wins at every pixel in it at which it is eligible, and a query whose best corner is below
another's worst corner wins at none. Only undecided cells are evaluated pixel by pixel, and only with the queries that
can still win there. The result is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from ciae_ros.core.compiled import compiled, inlined
from ciae_ros.inference.fusion.sampling_grid import SampledAxis, SamplingGrid
from ciae_ros.inference.row_blocks import for_row_blocks


def assign_by_cells(similarity: Tensor, boxes: Tensor, grid: SamplingGrid) -> np.ndarray:
    """Return the winning query of every pixel.

    Args:
        similarity: (h, w, Q) similarities of the queries at the map's samples, on the CPU; the last len(boxes) queries
            are instances, which are eligible only inside their boxes.
        boxes: (K, 4) x1, y1, x2, y2 in input pixels.
        grid: positions of the pixels on the map.

    Returns:
        (H, W) int16 indices of queries; ties go to the first query.
    """
    values = similarity.contiguous().numpy()
    rows = _spans(grid.rows, boxes[:, 1], boxes[:, 3])
    columns = _spans(grid.columns, boxes[:, 0], boxes[:, 2])
    best = np.empty(values.shape[:2], np.int16)
    for_row_blocks(_find_best_at_samples, len(best), values, rows, columns, best)
    winners = np.empty((len(rows.fraction), len(columns.fraction)), np.int16)
    for_row_blocks(_decide_cells, len(best) - 1, values, best, rows, columns, winners)
    return winners


class _Spans(NamedTuple):
    """One axis: its n pixels, the m - 1 cells between its m samples, and the extents of K instances."""

    fraction: np.ndarray
    """(n,) positions of the pixels within their cells, 0 to 1."""
    cell_start: np.ndarray
    """(m,) first pixel of every cell; the last entry is n."""
    first: np.ndarray
    """(K,) first pixel of an instance."""
    end: np.ndarray
    """(K,) one past its last pixel; at most `first` if it has no pixels."""
    first_sample: np.ndarray
    """(K,) first sample that bounds a cell with pixels of the instance."""
    end_sample: np.ndarray
    """(K,) one past the last such sample."""


def _spans(axis: SampledAxis, low: Tensor, high: Tensor) -> _Spans:
    center, cell = axis.center.numpy(), axis.cell.numpy()
    first = np.searchsorted(center, low.to(axis.center.dtype).numpy())
    end = np.searchsorted(center, high.to(axis.center.dtype).numpy(), side="right")
    empty = first >= end
    return _Spans(
        fraction=axis.fraction.numpy(),
        cell_start=axis.cell_start(),
        first=first,
        end=end,
        first_sample=np.where(empty, 0, cell[np.minimum(first, len(cell) - 1)]),
        end_sample=np.where(empty, 0, cell[np.maximum(end, 1) - 1] + 2),
    )


@compiled
def _find_best_at_samples(
    block: int, top: int, bottom: int, values: np.ndarray, rows: _Spans, columns: _Spans, best: np.ndarray
) -> None:
    """Compute `best` (h, w) for sample rows top to bottom, among queries eligible in a cell around the sample."""
    num_stuff = values.shape[2] - len(rows.first)
    instances = np.empty(len(rows.first), np.int64)
    for i in range(top, bottom):
        num_instances = 0
        for k in range(len(rows.first)):
            if rows.first_sample[k] <= i < rows.end_sample[k]:
                instances[num_instances] = k
                num_instances += 1
        for j in range(values.shape[1]):
            at_sample = values[i, j]
            highest = at_sample[0]
            for q in range(1, num_stuff):
                highest = max(highest, at_sample[q])
            winner = 0
            while at_sample[winner] < highest:
                winner += 1
            for k in instances[:num_instances]:
                if columns.first_sample[k] <= j < columns.end_sample[k] and at_sample[num_stuff + k] > highest:
                    highest = at_sample[num_stuff + k]
                    winner = num_stuff + k
            best[i, j] = winner


@compiled
def _decide_cells(
    block: int,
    top: int,
    bottom: int,
    values: np.ndarray,
    best: np.ndarray,
    rows: _Spans,
    columns: _Spans,
    winners: np.ndarray,
) -> None:
    """Compute `winners` (H, W) at the pixels of cell rows top to bottom."""
    num_stuff = values.shape[2] - len(rows.first)
    instances = np.empty(len(rows.first), np.int64)
    stuff_highest = np.empty(num_stuff, values.dtype)
    open_queries = np.empty(values.shape[2], np.int64)
    corners = np.empty((values.shape[2], 4), values.dtype)
    for i in range(top, bottom):
        y0, y1 = rows.cell_start[i], rows.cell_start[i + 1]
        num_instances = 0
        for k in range(len(rows.first)):
            if rows.first[k] < y1 and rows.end[k] > y0:
                instances[num_instances] = k
                num_instances += 1
        for j in range(values.shape[1] - 1):
            x0, x1 = columns.cell_start[j], columns.cell_start[j + 1]
            q = best[i, j]
            if q == best[i, j + 1] and q == best[i + 1, j] and q == best[i + 1, j + 1]:
                k = q - num_stuff
                if k < 0 or (
                    _covers(rows.first[k], rows.end[k], y0, y1) and _covers(columns.first[k], columns.end[k], x0, x1)
                ):
                    for y in range(y0, y1):
                        for x in range(x0, x1):
                            winners[y, x] = q
                    continue
            num_open = _find_open_queries(
                i, j, values, instances[:num_instances], rows, columns, stuff_highest, open_queries, corners
            )
            _decide_pixels(y0, y1, x0, x1, num_stuff, open_queries[:num_open], corners, rows, columns, winners)


# Passing an array to a function counts its references even if the function is inlined: the inner loops pass only
# scalars.


@inlined
def _covers(first: int, end: int, start: int, stop: int) -> bool:
    """Whether an instance with pixels first to end contains all pixels of a cell with pixels start to stop."""
    return first <= start and stop <= end


@inlined
def _touches(first: int, end: int, start: int, stop: int) -> bool:
    """Whether an instance with pixels first to end contains any pixel of a cell with pixels start to stop."""
    return first < stop and start < end


@inlined
def _lowest(a: float, b: float, c: float, d: float) -> float:
    return min(min(a, b), min(c, d))


@inlined
def _highest(a: float, b: float, c: float, d: float) -> float:
    return max(max(a, b), max(c, d))


@inlined
def _find_open_queries(
    i: int,
    j: int,
    values: np.ndarray,
    instances: np.ndarray,
    rows: _Spans,
    columns: _Spans,
    stuff_highest: np.ndarray,
    open_queries: np.ndarray,
    corners: np.ndarray,
) -> int:
    """List the queries that no other query dominates in cell (i, j), with their similarities at its corners.

    `instances` are those with pixels in the cell's rows. The last three arrays are overwritten.
    """
    y0, y1, x0, x1 = rows.cell_start[i], rows.cell_start[i + 1], columns.cell_start[j], columns.cell_start[j + 1]
    a, b, c, d = values[i, j], values[i, j + 1], values[i + 1, j], values[i + 1, j + 1]
    num_stuff = len(stuff_highest)
    to_beat = _lowest(a[0], b[0], c[0], d[0])
    for q in range(num_stuff):
        to_beat = max(to_beat, _lowest(a[q], b[q], c[q], d[q]))
        stuff_highest[q] = _highest(a[q], b[q], c[q], d[q])
    for k in instances:
        if _covers(columns.first[k], columns.end[k], x0, x1) and _covers(rows.first[k], rows.end[k], y0, y1):
            q = num_stuff + k
            to_beat = max(to_beat, _lowest(a[q], b[q], c[q], d[q]))
    num_open = 0
    for q in range(num_stuff):
        if stuff_highest[q] >= to_beat:
            open_queries[num_open] = q
            num_open += 1
    for k in instances:
        q = num_stuff + k
        if _touches(columns.first[k], columns.end[k], x0, x1) and _highest(a[q], b[q], c[q], d[q]) >= to_beat:
            open_queries[num_open] = q
            num_open += 1
    for n in range(num_open):
        q = open_queries[n]
        corners[n, 0], corners[n, 1], corners[n, 2], corners[n, 3] = a[q], b[q], c[q], d[q]
    return num_open


@inlined
def _decide_pixels(
    y0: int,
    y1: int,
    x0: int,
    x1: int,
    num_stuff: int,
    open_queries: np.ndarray,
    corners: np.ndarray,
    rows: _Spans,
    columns: _Spans,
    winners: np.ndarray,
) -> None:
    """Compute `winners` for one cell, rows y0 to y1 and columns x0 to x1, among its open queries."""
    for y in range(y0, y1):
        for x in range(x0, x1):
            best_value = -np.inf
            for n in range(len(open_queries)):
                k = open_queries[n] - num_stuff
                if k >= 0 and not (rows.first[k] <= y < rows.end[k] and columns.first[k] <= x < columns.end[k]):
                    continue
                upper = corners[n, 0] + (corners[n, 1] - corners[n, 0]) * columns.fraction[x]
                lower = corners[n, 2] + (corners[n, 3] - corners[n, 2]) * columns.fraction[x]
                value = upper + (lower - upper) * rows.fraction[y]
                if value > best_value:
                    best_value = value
                    winners[y, x] = open_queries[n]
