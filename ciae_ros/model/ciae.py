# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The network of Fig. 3, from images to raw outputs."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ciae_ros.model.backbone import FeaturePyramid, build_backbone
from ciae_ros.model.category_memory import CategoryMemory
from ciae_ros.model.config import ModelConfig
from ciae_ros.model.embedding_branch import EmbeddingBranch
from ciae_ros.model.proposal_head import ProposalHead


class RawOutputs(NamedTuple):
    """Outputs for B images of padded size H x W; lists contain a tensor for each level, P3 to P7."""

    class_logits: list[Tensor]
    """Class logits (B, num_detector_classes, h, w) of each level."""
    centerness: list[Tensor]
    """Logits of the centre-ness (B, 1, h, w) of each level."""
    box_distances: list[Tensor]
    """Distances (B, 4, h, w) of each level from a location to the left, top, right and bottom, in input pixels."""
    embedding: Tensor
    """Embedding map (B, embedding_dim, H / 4, W / 4) before the 4x up-sampling and L2 normalisation."""
    semantic_logits: Tensor | None = None
    """Logits (B, num_stuff_classes + 1, H / 4, W / 4), things last; None without `ModelConfig.semantic_branch`."""
    auxiliary_logits: Tensor | None = None
    """Logits (B, num_stuff_classes + num_thing_classes, H / 4, W / 4) of `ModelConfig.auxiliary_semantics`, in training
    only."""

    def semantic_logits_of(self, image: int) -> Tensor | None:
        """Return the semantic logits (num_stuff_classes + 1, H / 4, W / 4) of an image of the batch, if any."""
        return None if self.semantic_logits is None else self.semantic_logits[image]


class CIAE(nn.Module):
    """FCOS with an embedding branch (Sec. IV-A).

    Shapes depend only on the shape of the input and control flow does not depend on the data, so the network can be
    compiled, captured into a CUDA graph and exported.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config)
        self.pyramid = FeaturePyramid(self.backbone.channels, config.fpn_channels)
        self.proposal_head = ProposalHead(config)
        self.embedding_branch = EmbeddingBranch(config)
        self.memory = CategoryMemory(config)

    def forward(self, images: Tensor) -> RawOutputs:
        """Map normalised RGB images (B, 3, H, W), H and W multiples of `SIZE_DIVISOR`, to the raw outputs."""
        p2, *rest = self.pyramid(self.backbone(images))
        levels = self.proposal_head(rest)
        box_embeddings = [level.box_embedding for level in levels if level.box_embedding is not None]
        branch = self.embedding_branch([p2, *rest[:3]], box_embeddings or None)
        return RawOutputs(
            class_logits=[level.class_logits for level in levels],
            centerness=[level.centerness for level in levels],
            box_distances=[level.box_distances for level in levels],
            embedding=branch.embedding,
            semantic_logits=branch.semantic_logits,
            auxiliary_logits=branch.auxiliary_logits,
        )
