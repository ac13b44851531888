# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Area, bounding box and centroid of every segment of a map of winning queries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ciae_ros.core.compiled import compiled
from ciae_ros.inference.row_blocks import for_row_blocks, num_row_blocks


class SegmentStatistics(NamedTuple):
    """Statistics of Q potential segments; box and centroid are undefined where the area is 0."""

    area: Tensor
    """(Q,) int64, in pixels."""
    box: Tensor
    """(Q, 4) int64 x, y, width, height."""
    centroid: Tensor
    """(Q, 2) float64 mean x, y of the pixel indices."""


def segment_statistics(winners: Tensor, num_queries: int) -> SegmentStatistics:
    """Compute the statistics of a map (H, W) of indices below `num_queries`. Does not synchronise with CUDA devices."""
    if winners.device.type == "cpu":
        return _statistics_from_runs(winners.numpy(), num_queries)
    return statistics_from_projections(winners, num_queries)


def statistics_from_projections(winners: Tensor, num_queries: int) -> SegmentStatistics:
    """Compute the statistics from each segment's number of pixels in every row and column."""
    height, width = winners.shape
    segment = winners.long()
    in_rows = _count(segment * height + torch.arange(height, device=winners.device)[:, None], num_queries, height)
    in_columns = _count(segment * width + torch.arange(width, device=winners.device), num_queries, width)
    area = in_rows.sum(dim=1)
    (y, box_height, mean_y), (x, box_width, mean_x) = _extent(in_rows), _extent(in_columns)
    return SegmentStatistics(
        area, torch.stack((x, y, box_width, box_height), dim=1), torch.stack((mean_x, mean_y), dim=1)
    )


def _count(index: Tensor, num_queries: int, length: int) -> Tensor:
    """Count the occurrences of each index below num_queries * length, as (num_queries, length) int64."""
    counts = torch.zeros(num_queries * length, dtype=torch.int64, device=index.device)
    index = index.flatten()
    return counts.scatter_add_(0, index, torch.ones_like(index)).view(num_queries, length)


def _extent(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return first index, extent and mean index of the pixels counted along one axis (Q, n)."""
    index = torch.arange(counts.shape[1], device=counts.device)
    first = torch.where(counts > 0, index, counts.shape[1]).amin(dim=1)
    last = torch.where(counts > 0, index, -1).amax(dim=1)
    mean = (counts * index).sum(dim=1).double() / counts.sum(dim=1)
    return first, last - first + 1, mean


def _statistics_from_runs(winners: np.ndarray, num_queries: int) -> SegmentStatistics:
    """Compute the statistics from runs of equal pixels in the rows, which are far fewer than the pixels."""
    height, width = winners.shape
    sums = np.zeros((num_row_blocks(height), num_queries, 3), np.int64)
    low = np.full((num_row_blocks(height), num_queries, 2), max(height, width), np.int64)
    high = np.full((num_row_blocks(height), num_queries, 2), -1, np.int64)
    for_row_blocks(_add_runs, height, winners, sums, low, high)
    area, sum_x, sum_y = torch.from_numpy(sums.sum(axis=0)).unbind(1)
    first, last = torch.from_numpy(low.min(axis=0)), torch.from_numpy(high.max(axis=0))
    centroid = torch.stack((sum_x, sum_y), dim=1).double() / area[:, None]
    return SegmentStatistics(area, torch.cat((first, last - first + 1), dim=1), centroid)


@compiled
def _add_runs(
    block: int, top: int, bottom: int, winners: np.ndarray, sums: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    """Accumulate rows top to bottom into the block's sums (area, x, y), minima and maxima (x, y) of every segment."""
    width = winners.shape[1]
    for y in range(top, bottom):
        start = 0
        while start < width:
            q = winners[y, start]
            stop = start + 1
            while stop < width and winners[y, stop] == q:
                stop += 1
            length = stop - start
            sums[block, q, 0] += length
            sums[block, q, 1] += length * (start + stop - 1) // 2
            sums[block, q, 2] += length * y
            low[block, q, 0] = min(low[block, q, 0], start)
            low[block, q, 1] = min(low[block, q, 1], y)
            high[block, q, 0] = max(high[block, q, 0], stop - 1)
            high[block, q, 1] = y
            start = stop
