# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The proposal head: that of FCOS with box embeddings (Sec. IV-A, Fig. 3)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ciae_ros.model.config import ModelConfig
from ciae_ros.model.layers import group_norm
from ciae_ros.model.strides import PROPOSAL_STRIDES

PRIOR_PROBABILITY = 0.01
"""Initial probability of every class at every location (RetinaNet's initialisation)."""

CERTAIN = 20.0
"""Logit whose sigmoid is 1 in all precisions: the centre-ness of models without a branch for it."""

MAX_LOG_DISTANCE = math.log(1000.0 / 16)
"""Maximum exponent of a box offset, as in torchvision's box coders; keeps half precision finite."""


class LevelProposals(NamedTuple):
    """Outputs of the head for a pyramid level of height h and width w."""

    class_logits: Tensor
    """Class logits (B, num_detector_classes, h, w)."""
    centerness: Tensor
    """Logits of the centre-ness (B, 1, h, w)."""
    box_distances: Tensor
    """Distances (B, 4, h, w) from the location to the left, top, right and bottom of the box, in input pixels."""
    box_embedding: Tensor | None
    """Box embeddings (B, embedding_dim, h, w); None if the model has none."""


class ProposalHead(nn.Module):
    """Two towers, shared by all levels: one for classes, one for centre-ness, boxes and box embeddings."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.fpn_channels
        self.class_tower = _tower(channels, config.head_convs)
        self.box_tower = _tower(channels, config.head_convs)
        self.class_logits = nn.Conv2d(channels, config.num_detector_classes, 3, padding=1)
        self.centerness = nn.Conv2d(channels, 1, 3, padding=1) if config.centerness_branch else None
        self.box_distances = nn.Conv2d(channels, 4, 3, padding=1)
        self.box_embedding = nn.Conv2d(channels, config.embedding_dim, 3, padding=1) if config.box_embedding else None
        self.level_scales = nn.Parameter(torch.ones(len(PROPOSAL_STRIDES)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.constant_(self.class_logits.bias, -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))  # type: ignore[arg-type]

    def forward(self, pyramid: list[Tensor]) -> list[LevelProposals]:
        """Map P3 to P7, each (B, fpn_channels, h, w), to the proposals of each level."""
        return [self._level(feature, level) for level, feature in enumerate(pyramid)]

    def _level(self, feature: Tensor, level: int) -> LevelProposals:
        class_features = self.class_tower(feature)
        box_features = self.box_tower(feature)
        log_distances = self.box_distances(box_features) * self.level_scales[level]
        return LevelProposals(
            class_logits=self.class_logits(class_features),
            centerness=self._centerness(box_features),
            box_distances=log_distances.clamp(max=MAX_LOG_DISTANCE).exp() * PROPOSAL_STRIDES[level],
            box_embedding=None if self.box_embedding is None else self.box_embedding(box_features),
        )

    def _centerness(self, box_features: Tensor) -> Tensor:
        if self.centerness is not None:
            return self.centerness(box_features)
        return torch.full_like(box_features[:, :1], CERTAIN)


def _tower(channels: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), group_norm(channels), nn.ReLU()]
    return nn.Sequential(*layers)
