# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Outputs of a network that selects the candidates itself, as an exported one does."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ciae_ros.inference.candidates import Candidates


class CandidateOutputs(NamedTuple):
    """Outputs for B images of (padded) size H x W of a network that also selects the candidates."""

    embedding: Tensor
    """(B, embedding_dim, H / 4, W / 4), as in `RawOutputs`."""
    candidates: Candidates
    max_per_level: int
    """Slots that the network has for each pyramid level (`InferenceSettings.max_proposals_per_level`)."""
    semantic_logits: Tensor | None = None
    """(B, num_stuff_classes + 1, H / 4, W / 4), as in `RawOutputs`."""

    def semantic_logits_of(self, image: int) -> Tensor | None:
        """(num_stuff_classes + 1, H / 4, W / 4) of one image of the batch, if the model has them."""
        return None if self.semantic_logits is None else self.semantic_logits[image]
