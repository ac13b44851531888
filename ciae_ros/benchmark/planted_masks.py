# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Outputs of a mask-classification network (Mask2Former, EoMT) as a trained one would give them.

With random weights no query passes the score threshold, and the libraries' post-processing has nothing to do. So the
queries that are to survive get a confident class, and masks that divide the image among them: the image is cut into the
Voronoi cells of random points, one for each query, and a mask's logits fall off smoothly across its cell's border.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CLASS_LOGIT = 10.0
"""Against zeros elsewhere: a probability of 0.99 among 133 classes, above every library's threshold."""
MASK_LOGIT = 8.0
"""Bound on a mask's logits; the sigmoid is then 0.9997."""
BORDER = 0.01
"""Width over which a mask's logit rises by one, of the image's width: a trained mask's edge is a few pixels wide."""


@dataclass(frozen=True)
class MaskOutputs:
    """The fields that the post-processing of transformers reads."""

    class_queries_logits: Tensor
    """(1, Q, C + 1), the last for no object."""
    masks_queries_logits: Tensor
    """(1, Q, h, w)."""


def planted_outputs(like: MaskOutputs, surviving: int, num_things: int) -> MaskOutputs:
    """Outputs of the same shapes, types and device, of which `surviving` queries are segments of things.

    Args:
        like: what the network gave.
        surviving: at most as many as there are queries.
        num_things: the first so many classes are things, which the post-processing does not merge.
    """
    _, num_queries, height, width = like.masks_queries_logits.shape
    surviving = min(surviving, num_queries)
    generator = torch.Generator().manual_seed(0)
    classes = torch.zeros(1, num_queries, like.class_queries_logits.shape[2])
    classes[0, surviving:, -1] = CLASS_LOGIT
    labels = torch.randint(num_things, (surviving,), generator=generator)
    classes[0, torch.arange(surviving), labels] = CLASS_LOGIT
    masks = torch.full((1, num_queries, height, width), -MASK_LOGIT)
    masks[0, :surviving] = _voronoi_logits(surviving, height, width, generator)
    return MaskOutputs(classes.to(like.class_queries_logits), masks.to(like.masks_queries_logits))


def _voronoi_logits(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """(count, height, width): positive in a point's cell, negative elsewhere."""
    if count < 2:
        return torch.full((count, height, width), MASK_LOGIT)
    points = torch.rand(count, 2, generator=generator) * torch.tensor([height / width, 1.0])
    y, x = torch.meshgrid(torch.arange(height) / width, torch.arange(width) / width, indexing="ij")
    distances = torch.cdist(points, torch.stack((y.flatten(), x.flatten()), dim=1))
    nearest, second = distances.topk(2, dim=0, largest=False).values
    of_others = torch.where(distances == nearest, second, nearest)
    return ((of_others - distances) / BORDER).clamp(-MASK_LOGIT, MASK_LOGIT).view(count, height, width)
