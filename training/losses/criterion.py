# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The total training loss (Eq. 15)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from ciae_ros.model import ModelConfig, RawOutputs
from training.data.target import Target
from training.losses.detection_config import DetectionLossConfig
from training.losses.detection_loss import detection_losses
from training.losses.embedding_loss import embedding_loss
from training.losses.image_queries import EmbeddingLossConfig
from training.losses.semantic_loss import auxiliary_semantic_loss, semantic_branch_loss


@dataclass(frozen=True)
class LossConfig:
    """Options of all losses; the defaults are those of the paper."""

    embedding: EmbeddingLossConfig = field(default_factory=EmbeddingLossConfig)
    detection: DetectionLossConfig = field(default_factory=DetectionLossConfig)
    auxiliary_semantic_weight: float = 0.5
    """Weight of the loss of models with `ModelConfig.auxiliary_semantics`."""


class Losses(NamedTuple):
    """Losses of a batch."""

    total: Tensor
    """Total loss, with gradient."""
    parts: dict[str, Tensor]
    """The losses class, box, cae, iae and, if the model has the branch, centerness, semantic and auxiliary, without
    gradient and weights."""
    category_sums: Tensor
    """Sums (num_memory_vectors, D) for the update of the memory."""


def training_loss(
    outputs: RawOutputs,
    target: Target,
    memory: Tensor,
    model: ModelConfig,
    config: LossConfig,
    after_detection: Callable[[], object] = lambda: None,
) -> Losses:
    """Compute Eq. 15, plus the cross-entropies of the semantic branch (Table III) and the auxiliary semantics if any.

    Losses are normalised by means over all ranks, so that the mean of their gradients equals that of a single rank with
    all images. `after_detection` is called between the losses of the detector and of the embedding.
    """
    parts = detection_losses(outputs, target, model, config.detection)
    if outputs.semantic_logits is not None:
        parts["semantic"] = semantic_branch_loss(outputs.semantic_logits, target, model.num_stuff_classes)
    after_detection()
    embedding = embedding_loss(outputs.embedding, target, memory, model, config.embedding)
    total = sum(parts.values(), embedding.total)
    if outputs.auxiliary_logits is not None:
        parts["auxiliary"] = auxiliary_semantic_loss(outputs.auxiliary_logits, target, model.num_stuff_classes)
        total = total + config.auxiliary_semantic_weight * parts["auxiliary"]
    parts |= {"cae": embedding.cae, "iae": embedding.iae}
    return Losses(total, {name: part.detach() for name, part in parts.items()}, embedding.category_sums)
