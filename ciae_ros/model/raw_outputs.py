# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The outputs of the network."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


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
