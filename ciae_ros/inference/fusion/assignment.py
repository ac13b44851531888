# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Assignment of every pixel to its most similar query: Eq. 16 with the box filter of Sec. IV-B.

Two facts make the fast implementations exact. The norm of a pixel's embedding scales all of its similarities alike, so
the argmax needs no pixel to be normalised. And the inner product is linear, so it may be taken before the bilinear
up-sampling of the embedding map as well as after it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference.fusion.cell_assignment import assign_by_cells
from ciae_ros.inference.fusion.sampling_grid import SamplingGrid, sampling_grid
from ciae_ros.inference.geometry import ImageGeometry

PIXELS_PER_CHUNK = 1 << 16
"""Bound on the pixels whose similarities to all queries are held at once."""


def assign_pixels(
    embedding: Tensor, stuff_queries: Tensor, instance_queries: Tensor, boxes: Tensor, geometry: ImageGeometry
) -> Tensor:
    """Return the most similar eligible query of each pixel of the original image.

    Args:
        embedding: (D, h, w) map of one padded image at stride 4, finite, not normalised; h and w at least 2.
        stuff_queries: (S, D) of any norm, S at least 1; eligible everywhere.
        instance_queries: (K, D) of any norm; S + K is below 32768.
        boxes: (K, 4) x1, y1, x2, y2 in pixels of the network's input: an instance is eligible at pixels whose centres
            are inside its box.
        geometry: sizes of the image.

    Returns:
        (H, W) int16 at the original size: s for stuff query s, S + k for instance k. Ties go to the first query. On a
        CUDA device this does not synchronise.
    """
    # Half precision would produce ties between different similarities.
    embedding = embedding.to(torch.promote_types(embedding.dtype, torch.float32))
    queries = F.normalize(torch.cat((stuff_queries, instance_queries)).to(embedding.dtype), dim=1)
    grid = sampling_grid(geometry, embedding)
    similarity = embedding.permute(1, 2, 0) @ queries.T
    if embedding.device.type == "cpu":
        return torch.from_numpy(assign_by_cells(similarity, boxes, grid))
    return assign_by_rows(similarity, boxes, grid)


def assign_pixels_reference(
    embedding: Tensor, stuff_queries: Tensor, instance_queries: Tensor, boxes: Tensor, geometry: ImageGeometry
) -> Tensor:
    """Reference implementation of Eq. 16 as written, with the contract of `assign_pixels`; for tests only.

    It materialises the full-size embedding and the similarity of every pixel to every query.
    """
    height, width = geometry.original
    grid = sampling_grid(geometry, embedding)
    upsampled = grid.columns.interpolate(grid.rows.interpolate(embedding, dim=1), dim=2)
    P = F.normalize(upsampled.flatten(1).T, dim=1)
    V = F.normalize(torch.cat((stuff_queries, instance_queries)).to(embedding.dtype), dim=1)
    S = P @ V.T
    outside = ~grid.inside(boxes).flatten(1).T
    S[:, len(stuff_queries) :].masked_fill_(outside, -torch.inf)
    return S.argmax(dim=1).view(height, width).to(torch.int16)


def assign_by_rows(similarity: Tensor, boxes: Tensor, grid: SamplingGrid) -> Tensor:
    """Compare every pixel with every query, a chunk of rows at a time, with shapes that do not depend on the data.

    Args:
        similarity: (h, w, Q) at the map's samples; the last len(boxes) queries are instances.
        boxes: (K, 4) in input pixels.
        grid: positions of the pixels on the map.
    """
    num_stuff = similarity.shape[2] - len(boxes)
    outside_y = ~grid.rows.inside(boxes[:, 1], boxes[:, 3]).T
    outside_x = ~grid.columns.inside(boxes[:, 0], boxes[:, 2]).T
    height, width = len(grid.rows.cell), len(grid.columns.cell)
    winners = torch.empty(height, width, dtype=torch.int16, device=similarity.device)
    rows_per_chunk = max(1, PIXELS_PER_CHUNK // width)
    for top in range(0, height, rows_per_chunk):
        rows = slice(top, top + rows_per_chunk)
        at_pixels = grid.columns.interpolate(grid.rows.interpolate(similarity, dim=0, chunk=rows), dim=1)
        at_pixels[..., num_stuff:].masked_fill_(outside_y[rows, None] | outside_x, -torch.inf)
        winners[rows] = at_pixels.argmax(dim=2)
    return winners
