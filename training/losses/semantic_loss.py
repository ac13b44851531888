# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Cross-entropies of the semantic branch (Table III) and of the auxiliary semantics, which the paper does not have."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.sample import VOID
from training.data.target import Target
from training.distributed import mean_over_ranks

STRIDE = 4
"""Stride of the logits."""


def semantic_branch_loss(logits: Tensor, target: Target, num_stuff: int) -> Tensor:
    """Return the mean cross-entropy over the annotated pixels, with things merged into the last class.

    Args:
        logits: (B, num_stuff + 1, H / 4, W / 4).
        target: annotation of the batch, H x W.
        num_stuff: number of stuff classes S.
    """
    logits = F.interpolate(logits.float(), size=target.segments.shape[1:], mode="bilinear", align_corners=False)
    return _cross_entropy(logits, target.segments.long().clamp(max=num_stuff))


def auxiliary_semantic_loss(logits: Tensor, target: Target, num_stuff: int) -> Tensor:
    """Return the mean cross-entropy over the annotated ones of the pixels in the centre of each cell of the logits.

    At stride 4 instead of 1, because the logits of all categories at all pixels would need gigabytes.

    Args:
        logits: (B, num_stuff + num_things, H / 4, W / 4), stuff classes first.
        target: annotation of the batch, H x W.
        num_stuff: number of stuff classes S.
    """
    segments = target.segments[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE].long()
    categories = [
        _categories(image, classes, num_stuff) for image, classes in zip(segments, target.classes, strict=True)
    ]
    return _cross_entropy(logits.float(), torch.stack(categories))


def _categories(segments: Tensor, classes: Tensor, num_stuff: int) -> Tensor:
    """Return the category of each pixel from its segment: a stuff class, or S + a thing class, or below 0."""
    if not len(classes):
        return segments
    instance = (segments - num_stuff).clamp(min=0)
    return torch.where(segments >= num_stuff, num_stuff + classes[instance], segments)


def _cross_entropy(logits: Tensor, categories: Tensor) -> Tensor:
    num_pixels = mean_over_ranks((categories >= 0).sum()).clamp(min=1)
    return F.cross_entropy(logits, categories.clamp(min=VOID), ignore_index=VOID, reduction="sum") / num_pixels
