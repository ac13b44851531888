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
    """Losses of a batch."""

    total: Tensor
    """Total loss, with gradient."""
    parts: dict[str, Tensor]
    """The losses class, box, centerness, cae, iae and, with a semantic branch, semantic, without gradient."""
    category_sums: Tensor
    """Sums (num_memory_vectors, D) for the update of the memory."""


def training_loss(
    outputs: RawOutputs,
    target: Target,
    memory: Tensor,
    model: ModelConfig,
    config: EmbeddingLossConfig,
    after_detection: Callable[[], object] = lambda: None,
) -> Losses:
    """Compute Eq. 15, plus the cross-entropy of the semantic branch if the model has one (Table III).

    Losses are normalised by means over all ranks, so that the mean of their gradients equals that of a single rank with
    all images. `after_detection` is called between the losses of the detector and of the embedding.
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
    """Return the mean cross-entropy over the annotated pixels, with things merged into the last class."""
    logits = F.interpolate(logits.float(), size=target.segments.shape[1:], mode="bilinear", align_corners=False)
    classes = target.segments.long().clamp(max=num_stuff)
    num_pixels = mean_over_ranks((classes >= 0).sum()).clamp(min=1)
    return F.cross_entropy(logits, classes.clamp(min=-1), ignore_index=-1, reduction="sum") / num_pixels
