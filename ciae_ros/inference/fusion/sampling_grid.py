# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Positions of the original image's pixels on a map of the network, one axis at a time.

Up-sampling to the original size is bilinear (Sec. IV-A), so rows and columns are separable. Along an axis, the map's
samples bound *cells*; every pixel lies in one cell, at a fraction of the way from its first sample to its second.
Pixels beyond the outermost samples take the outermost value, as in `F.interpolate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.graph_inputs import keep_for_graph


@dataclass(frozen=True)
class SampledAxis:
    """Positions of the n pixels of one image axis among the m samples of the map (m at least 2)."""

    center: Tensor
    """(n,) centres of the pixels in pixels of the network's input, ascending."""
    cell: Tensor
    """(n,) int64 in 0..m-2, ascending: pixel i lies between samples cell[i] and cell[i] + 1."""
    fraction: Tensor
    """(n,) in 0..1: relative position between the two samples."""
    num_cells: int
    """m - 1."""

    @property
    def position(self) -> Tensor:
        """(n,) in 0..m-1, in samples of the map."""
        return self.cell + self.fraction

    def cell_start(self) -> np.ndarray:
        """Return (m,) first pixel of every cell, on the host; the last entry is n."""
        return np.searchsorted(self.cell.numpy(), np.arange(self.num_cells + 1))

    def inside(self, low: Tensor, high: Tensor) -> Tensor:
        """Return (K, n) bool: whether each pixel centre is within each of K intervals [low, high], in input pixels."""
        return (self.center >= low[:, None]) & (self.center <= high[:, None])

    def interpolate(self, samples: Tensor, dim: int, chunk: slice = slice(None)) -> Tensor:
        """Interpolate values at the m samples along dimension `dim` to the pixels of `chunk`."""
        shape = [1] * samples.dim()
        shape[dim] = -1
        cell, fraction = self.cell[chunk], self.fraction[chunk].view(shape)
        first, second = samples.index_select(dim, cell), samples.index_select(dim, cell + 1)
        return torch.lerp(first, second, fraction)


@dataclass(frozen=True)
class SamplingGrid:
    """The two axes of an image of H x W pixels."""

    rows: SampledAxis
    columns: SampledAxis

    def inside(self, boxes: Tensor) -> Tensor:
        """Return (K, H, W) bool: whether each pixel's centre is in each box (K, 4: x1, y1, x2, y2 in input pixels)."""
        inside_y = self.rows.inside(boxes[:, 1], boxes[:, 3])
        inside_x = self.columns.inside(boxes[:, 0], boxes[:, 2])
        return inside_y[:, :, None] & inside_x[:, None, :]


def sampling_grid(geometry: ImageGeometry, samples: Tensor) -> SamplingGrid:
    """Return the grid for an image and a map (D, h, w) of its padded size, on its device and at least in float32."""
    _, map_height, map_width = samples.shape
    dtype = torch.promote_types(samples.dtype, torch.float32)
    grid = _cached_grid(geometry, map_height, map_width, dtype, samples.device)
    keep_for_graph(grid)
    return grid


# Cached because a camera's images have one size, which saves copies to the device. Tensors created in inference mode
# could not be used outside of it.
@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def _cached_grid(
    geometry: ImageGeometry, map_height: int, map_width: int, dtype: torch.dtype, device: torch.device
) -> SamplingGrid:
    (height, width), (padded_height, padded_width) = geometry.original, geometry.padded
    return SamplingGrid(
        rows=_sampled_axis(height, geometry.scale_y, map_height, padded_height / map_height, dtype, device),
        columns=_sampled_axis(width, geometry.scale_x, map_width, padded_width / map_width, dtype, device),
    )


def _sampled_axis(
    num_pixels: int, scale: float, num_samples: int, stride: float, dtype: torch.dtype, device: torch.device
) -> SampledAxis:
    # Computed in float64 on the host: in half precision, positions in a wide image would be off by pixels.
    center = (torch.arange(num_pixels, dtype=torch.float64) + 0.5) * scale
    position = (center / stride - 0.5).clamp(0, num_samples - 1)
    cell = position.long().clamp(max=num_samples - 2)
    return SampledAxis(
        center=center.to(device, torch.float32),
        cell=cell.to(device),
        fraction=(position - cell).to(device, dtype),
        num_cells=num_samples - 1,
    )
