# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Pinned host memory, reused for batches of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

ALIGNMENT = 64
"""Alignment of each array in bytes: a cache line."""


class PinnedMemory:
    """A single block that holds the arrays of one batch at a time and grows to the largest batch so far.

    PyTorch caches freed pinned memory by size: separate arrays for every image size would add up without bound.
    """

    def __init__(self) -> None:
        self._block = torch.empty(0, dtype=torch.uint8)

    @property
    def num_bytes(self) -> int:
        return self._block.numel()

    def allocate(self, layouts: Sequence[tuple[Sequence[int], torch.dtype]]) -> list[Tensor]:
        """Return uninitialised arrays of these shapes and types; arrays returned earlier become invalid."""
        sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in layouts]
        ends = [0]
        for size in sizes:
            ends.append(ends[-1] + -(-size // ALIGNMENT) * ALIGNMENT)
        if ends[-1] > self.num_bytes:
            self._block = torch.empty(0, dtype=torch.uint8)  # Freed first, so that both never exist at once.
            self._block = torch.empty(ends[-1], dtype=torch.uint8, pin_memory=True)
        return [
            self._block[start : start + size].view(dtype).view(*shape)
            for (shape, dtype), start, size in zip(layouts, ends, sizes, strict=False)
        ]
