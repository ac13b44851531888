# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The category-aware memory embeddings (Sec. III-C): the queries of the stuff classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ciae_ros.model.config import ModelConfig


class CategoryMemory(nn.Module):
    """Unit vectors of the stuff classes, then of the things: one for all, one per class, or none (Table IV).

    The vectors are a buffer: part of the model and its checkpoint, but without gradient.
    """

    vectors: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_stuff_classes = config.num_stuff_classes
        random = torch.randn(config.num_memory_vectors, config.embedding_dim)
        self.register_buffer("vectors", F.normalize(random, dim=1))

    @property
    def stuff(self) -> Tensor:
        """Return the unit vectors of the stuff classes (num_stuff_classes, embedding_dim)."""
        return self.vectors[: self.num_stuff_classes]

    @property
    def things(self) -> Tensor:
        """Return the unit vectors of the things (n, embedding_dim); n is 1, num_thing_classes or 0."""
        return self.vectors[self.num_stuff_classes :]
