# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The network of Fig. 3, from images to raw outputs."""

from __future__ import annotations

from torch import Tensor, nn

from ciae_ros.model.backbone import FeaturePyramid, build_backbone
from ciae_ros.model.category_memory import CategoryMemory
from ciae_ros.model.config import ModelConfig
from ciae_ros.model.embedding_branch import EmbeddingBranch
from ciae_ros.model.proposal_head import ProposalHead
from ciae_ros.model.raw_outputs import RawOutputs


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
