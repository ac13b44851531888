# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Synthetic outputs of a mask-classification network (Mask2Former, EoMT) that resemble those of a trained one.

With random weights no query passes the score threshold, so the libraries' post-processing would have nothing to do. The
queries to keep get a confident class, and masks that partition the image: the Voronoi cells of random
points, one for each query, with logits that fall off smoothly across the borders.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CLASS_LOGIT = 10.0
"""Logit of the class; others are zero, so its probability is 0.99 among 133 classes, above all thresholds."""
MASK_LOGIT = 8.0
"""Maximum logit of masks, whose sigmoid is 0.9997."""
BORDER = 0.01
"""Share of the image's width over which a mask's logit rises by one; edges of trained masks are a few pixels wide."""


@dataclass(frozen=True)
class LibraryOutputs:
    """Fields that the post-processing of transformers reads."""

    class_queries_logits: Tensor
    """Class logits (1, Q, C + 1), the last one for no object."""
    masks_queries_logits: Tensor
    """Logits of the masks (1, Q, h, w)."""


def synthetic_outputs(like: LibraryOutputs, surviving: int, num_things: int) -> LibraryOutputs:
    """Create outputs of the same shapes, types and device, in which `surviving` queries are segments of things.

    Args:
        like: outputs of the network.
        surviving: number of surviving queries; limited to the number of queries.
        num_things: number of thing classes, which come first and are not merged by post-processing.
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
    return LibraryOutputs(classes.to(like.class_queries_logits), masks.to(like.masks_queries_logits))


def _voronoi_logits(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return logits (count, height, width) that are positive in a point's cell and negative elsewhere."""
    if count < 2:
        return torch.full((count, height, width), MASK_LOGIT)
    points = torch.rand(count, 2, generator=generator) * torch.tensor([height / width, 1.0])
    y, x = torch.meshgrid(torch.arange(height) / width, torch.arange(width) / width, indexing="ij")
    distances = torch.cdist(points, torch.stack((y.flatten(), x.flatten()), dim=1))
    nearest, second = distances.topk(2, dim=0, largest=False).values
    of_others = torch.where(distances == nearest, second, nearest)
    return ((of_others - distances) / BORDER).clamp(-MASK_LOGIT, MASK_LOGIT).view(count, height, width)
