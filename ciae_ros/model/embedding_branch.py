# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The embedding branch, whose vector for each pixel encodes category and instance (Sec. IV-A, Fig. 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ciae_ros.model.config import ModelConfig
from ciae_ros.model.layers import CoordConv2d, group_norm


class BranchOutputs(NamedTuple):
    """Outputs of the branch for B images of padded size H x W."""

    embedding: Tensor
    """(B, embedding_dim, H / 4, W / 4): P' + P'' of Sec. IV-A, or P' without box embeddings."""
    semantic_logits: Tensor | None
    """(B, num_stuff_classes + 1, H / 4, W / 4), things last, if the model has a semantic branch."""
    auxiliary_logits: Tensor | None
    """(B, num_stuff_classes + num_thing_classes, H / 4, W / 4) in training, if the model has auxiliary semantics."""


class EmbeddingBranch(nn.Module):
    """Computes the embedding map P at stride 4 from P2 to P5 and the box embeddings of P3 to P7."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.p2 = _UpsamplingStage(config, upsamplings=0, coord_conv=False)
        self.p3 = _UpsamplingStage(config, upsamplings=1, coord_conv=False)
        self.p4 = _UpsamplingStage(config, upsamplings=2, coord_conv=False)
        self.p5 = _UpsamplingStage(config, upsamplings=3, coord_conv=config.coord_conv)
        self.from_pyramid = nn.Conv2d(config.embedding_channels, config.embedding_dim, 1)
        self.from_boxes = (
            nn.Conv2d(config.embedding_dim, config.embedding_dim, 3, padding=1) if config.box_embedding else None
        )
        # In parallel with P': scores of the stuff classes and of one class for all things (Sec. V-F).
        self.semantic_logits = (
            nn.Conv2d(config.embedding_channels, config.num_stuff_classes + 1, 1) if config.semantic_branch else None
        )
        self.auxiliary_logits = (
            nn.Conv2d(config.embedding_channels, config.num_stuff_classes + config.num_thing_classes, 1)
            if config.auxiliary_semantics
            else None
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, pyramid: list[Tensor], box_embeddings: list[Tensor] | None) -> BranchOutputs:
        """Compute the map without the 4x up-sampling and L2 normalisation, which are part of fusion and losses.

        Args:
            pyramid: P2 to P5, each (B, fpn_channels, h, w).
            box_embeddings: box embeddings of P3 to P7, each (B, embedding_dim, h, w); None if the model has none.
        """
        p2, p3, p4, p5 = pyramid
        features = self.p2(p2) + self.p3(p3) + self.p4(p4) + self.p5(p5)
        embedding = self.from_pyramid(features)
        if self.from_boxes is not None and box_embeddings is not None:
            embedding = embedding + self.from_boxes(_sum_upsampled(box_embeddings, p2.shape[-2:]))
        return BranchOutputs(
            embedding=embedding,
            semantic_logits=None if self.semantic_logits is None else self.semantic_logits(features),
            auxiliary_logits=(
                self.auxiliary_logits(features) if self.auxiliary_logits is not None and self.training else None
            ),
        )


class _UpsamplingStage(nn.Module):
    """3x3 convolution, group normalisation, ReLU and 2x up-sampling, repeated to stride 4; once without it for P2."""

    def __init__(self, config: ModelConfig, upsamplings: int, coord_conv: bool) -> None:
        super().__init__()
        self.upsamplings = upsamplings
        blocks = []
        channels = config.fpn_channels
        for _ in range(max(1, upsamplings)):
            conv: nn.Module = (
                CoordConv2d(channels, config.embedding_channels)
                if coord_conv
                else nn.Conv2d(channels, config.embedding_channels, 3, padding=1, bias=False)
            )
            blocks.append(nn.Sequential(conv, group_norm(config.embedding_channels), nn.ReLU()))
            channels = config.embedding_channels
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
            if self.upsamplings:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return x


def _sum_upsampled(maps: list[Tensor], size: torch.Size) -> Tensor:
    """Return the sum of the maps at `size`: from the coarsest, each is up-sampled to the next finer one and added.

    Heights and widths of P6 and P7 are rounded up, so that twice a map may exceed the finer one by a row or a column.
    Those are cut off: resizing the map to the finer one would shift its content by up to a cell.
    """
    total = maps[-1]
    for finer in maps[-2::-1]:
        total = finer + _upsampled(total, finer.shape[-2:])
    return _upsampled(total, size)


def _upsampled(coarse: Tensor, size: torch.Size) -> Tensor:
    """Up-sample by a factor of 2 and cut the result off at `size`."""
    return F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]
