# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Assignment with a separate semantic branch for stuff (Table III, "inconsistent")."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference.fusion.assignment import PIXELS_PER_CHUNK
from ciae_ros.inference.fusion.sampling_grid import SamplingGrid, sampling_grid
from ciae_ros.inference.geometry import ImageGeometry


def assign_by_semantics(
    embedding: Tensor, semantic_logits: Tensor, instance_queries: Tensor, boxes: Tensor, geometry: ImageGeometry
) -> Tensor:
    """Assign thing pixels to the most similar instance whose box contains them, and all others to stuff.

    The paper does not state how the two branches are merged; a thing pixel outside all boxes goes to the best stuff
    class.

    Args:
        embedding: (D, h, w) map of one padded image at stride 4, not normalised; h and w at least 2.
        semantic_logits: (S + 1, h, w); the last channel stands for all things.
        instance_queries: (K, D) of any norm.
        boxes: (K, 4) x1, y1, x2, y2 in pixels of the network's input.
        geometry: geometry of the image.

    Returns:
        (H, W) int16, as `assign_pixels` returns.
    """
    queries = F.normalize(instance_queries.float(), dim=1)
    embedding = embedding.float()
    maps = torch.cat((semantic_logits.float(), torch.einsum("kd,dhw->khw", queries, embedding)))
    grid = sampling_grid(geometry, embedding)
    width = geometry.original[1]
    step = max(1, PIXELS_PER_CHUNK // width)
    chunks = (slice(top, top + step) for top in range(0, geometry.original[0], step))
    return torch.cat([_assign_rows(maps, boxes, grid, rows) for rows in chunks])


def _assign_rows(maps: Tensor, boxes: Tensor, grid: SamplingGrid, rows: slice) -> Tensor:
    num_stuff = len(maps) - len(boxes) - 1
    at_pixels = grid.columns.interpolate(grid.rows.interpolate(maps, dim=1, chunk=rows), dim=2)
    stuff, things, similarity = at_pixels.split([num_stuff, 1, len(boxes)])
    stuff_score, winner = stuff.max(dim=0)
    if len(boxes):
        inside_y = grid.rows.inside(boxes[:, 1], boxes[:, 3])[:, rows, None]
        inside = inside_y & grid.columns.inside(boxes[:, 0], boxes[:, 2])[:, None, :]
        best, instance = similarity.masked_fill(~inside, -torch.inf).max(dim=0)
        is_instance = (things[0] > stuff_score) & (best > -torch.inf)
        winner = torch.where(is_instance, instance + num_stuff, winner)
    return winner.to(torch.int16)
