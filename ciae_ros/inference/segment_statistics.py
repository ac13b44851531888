# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Area, box and centroid of every segment of a map of winners."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ciae_ros.inference.compiled import compiled, for_bands, num_bands


class SegmentStatistics(NamedTuple):
    """Of Q possible segments; where the area is 0, box and centroid mean nothing."""

    area: Tensor
    """(Q,) int64, in pixels."""
    box: Tensor
    """(Q, 4) int64 x, y, width, height."""
    centroid: Tensor
    """(Q, 2) float64 mean x, y of the pixels' indices."""


def segment_statistics(winners: Tensor, num_queries: int) -> SegmentStatistics:
    """From a map (H, W) of indices below `num_queries`. On a CUDA device nothing here waits for the device."""
    if winners.device.type == "cpu":
        return _statistics_of_runs(winners.numpy(), num_queries)
    return statistics_of_projections(winners, num_queries)


def statistics_of_projections(winners: Tensor, num_queries: int) -> SegmentStatistics:
    """From each segment's number of pixels in every row and in every column."""
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
    """(num_queries, length) int64: how often each of the indices below num_queries * length occurs."""
    counts = torch.zeros(num_queries * length, dtype=torch.int64, device=index.device)
    index = index.flatten()
    return counts.scatter_add_(0, index, torch.ones_like(index)).view(num_queries, length)


def _extent(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First index, extent and mean index of the pixels counted along one axis (Q, n)."""
    index = torch.arange(counts.shape[1], device=counts.device)
    first = torch.where(counts > 0, index, counts.shape[1]).amin(dim=1)
    last = torch.where(counts > 0, index, -1).amax(dim=1)
    mean = (counts * index).sum(dim=1).double() / counts.sum(dim=1)
    return first, last - first + 1, mean


def _statistics_of_runs(winners: np.ndarray, num_queries: int) -> SegmentStatistics:
    """The same from runs of equal pixels in the rows, of which there are far fewer than pixels."""
    height, width = winners.shape
    sums = np.zeros((num_bands(height), num_queries, 3), np.int64)
    low = np.full((num_bands(height), num_queries, 2), max(height, width), np.int64)
    high = np.full((num_bands(height), num_queries, 2), -1, np.int64)
    for_bands(_add_runs, height, winners, sums, low, high)
    area, sum_x, sum_y = torch.from_numpy(sums.sum(axis=0)).unbind(1)
    first, last = torch.from_numpy(low.min(axis=0)), torch.from_numpy(high.max(axis=0))
    centroid = torch.stack((sum_x, sum_y), dim=1).double() / area[:, None]
    return SegmentStatistics(area, torch.cat((first, last - first + 1), dim=1), centroid)


@compiled
def _add_runs(
    band: int, top: int, bottom: int, winners: np.ndarray, sums: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    """Add rows top to bottom to the band's sums (area, x, y), lowest and highest (x, y) of every segment."""
    width = winners.shape[1]
    for y in range(top, bottom):
        start = 0
        while start < width:
            q = winners[y, start]
            stop = start + 1
            while stop < width and winners[y, stop] == q:
                stop += 1
            length = stop - start
            sums[band, q, 0] += length
            sums[band, q, 1] += length * (start + stop - 1) // 2
            sums[band, q, 2] += length * y
            low[band, q, 0] = min(low[band, q, 0], start)
            low[band, q, 1] = min(low[band, q, 1], y)
            high[band, q, 0] = max(high[band, q, 0], stop - 1)
            high[band, q, 1] = y
            start = stop
