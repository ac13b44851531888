# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The total training loss (Eq. 15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from ciae_ros.model import ModelConfig, RawOutputs
from training.data.target import Target
from training.distributed import mean_over_ranks
from training.losses.detection_loss import detection_losses
from training.losses.embedding_loss import EmbeddingLossConfig, embedding_loss


class Losses(NamedTuple):
    """What one batch comes to."""

    total: Tensor
    """To be differentiated."""
    parts: dict[str, Tensor]
    """class, box, centerness, cae, iae and, with its branch, semantic: each without gradient, for people."""
    category_sums: Tensor
    """(num_memory_vectors, D) for the memory's update."""


def training_loss(
    outputs: RawOutputs,
    target: Target,
    memory: Tensor,
    model: ModelConfig,
    config: EmbeddingLossConfig,
    after_detection: Callable[[], object] = lambda: None,
) -> Losses:
    """Eq. 15, with the cross-entropy of the semantic branch added where the model has one (Table III).

    Losses are divided by means over all ranks, so that the mean of their gradients is that of one rank with all images.
    `after_detection` is called between the detector's losses and the embedding's.
    """
    parts = detection_losses(outputs, target, model.num_stuff_classes, model.class_agnostic_detector)
    if outputs.semantic_logits is not None:
        parts["semantic"] = _semantic_loss(outputs.semantic_logits, target, model.num_stuff_classes)
    after_detection()
    embedding = embedding_loss(outputs.embedding, target, memory, model, config)
    total = sum(parts.values(), embedding.total)
    parts |= {"cae": embedding.cae, "iae": embedding.iae}
    return Losses(total, {name: part.detach() for name, part in parts.items()}, embedding.category_sums)


def _semantic_loss(logits: Tensor, target: Target, num_stuff: int) -> Tensor:
    """Mean cross-entropy over the annotated pixels, things merged into the last class."""
    logits = F.interpolate(logits.float(), size=target.segments.shape[1:], mode="bilinear", align_corners=False)
    classes = target.segments.long().clamp(max=num_stuff)
    num_pixels = mean_over_ranks((classes >= 0).sum()).clamp(min=1)
    return F.cross_entropy(logits, classes.clamp(min=-1), ignore_index=-1, reduction="sum") / num_pixels
