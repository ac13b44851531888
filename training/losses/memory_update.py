# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Momentum update of the category memory during training (Sec. III-C)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.model.category_memory import CategoryMemory
from training.distributed import sum_over_ranks


@dataclass(frozen=True)
class MemoryConfig:
    """Momentum of the memory's update.

    Raises:
        ValueError: the momentum is out of range.
    """

    momentum: float = 0.9999
    """Momentum at the first iteration (Table VII)."""
    rising: bool = True
    """Whether the momentum rises to 1 at the last iteration, by Eq. 13 with 1 - `momentum` in place of 0.0001, or is
    constant."""
    initialization: Literal["random", "spread"] = "random"
    """M_0: random directions, as in the paper, or directions that are as far apart as possible."""

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be in 0..1, not {self.momentum}")

    def at(self, iteration: int, iterations: int, factor: float = 1.0) -> float:
        """Return lambda_t at iteration t of T, counted from 0 (Eq. 13).

        Args:
            iteration: t.
            iterations: T.
            factor: factor on 1 - lambda_t, which is at most 1. Under linear scaling it is batch size / 16, so that the
                memory has changed equally after equally many images.
        """
        rest = (1 - iteration / iterations) ** 3 if self.rising else 1.0
        return 1 - min(1.0, (1 - self.momentum) * rest * factor)


@torch.no_grad()
def update_memory(memory: CategoryMemory, category_sums: Tensor, momentum: float) -> None:
    """Apply Eq. 14 with the mean embeddings over all ranks; absent categories keep their vectors.

    Args:
        memory: memory to update in place, identically on all ranks.
        category_sums: this rank's sums of Eq. 3 (num_memory_vectors, D).
        momentum: lambda_t.
    """
    sums = sum_over_ranks(category_sums)
    present = (sums != 0).any(dim=1, keepdim=True)
    means = F.normalize(sums, dim=1)
    updated = F.normalize(momentum * memory.vectors + (1 - momentum) * means, dim=1)
    memory.vectors.copy_(torch.where(present, updated, memory.vectors))
