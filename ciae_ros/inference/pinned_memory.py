# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Memory of the host that a CUDA device reads and writes by itself, reused for batches of any sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

ALIGNMENT = 64
"""Of each array, in bytes: a cache line."""


class PinnedMemory:
    """One block that holds the arrays of one batch at a time, as large as the largest batch so far.

    PyTorch keeps pinned memory that is given back, for later requests of about the same size: arrays of every size of
    image that a camera has would add up without bound.
    """

    def __init__(self) -> None:
        self._block = torch.empty(0, dtype=torch.uint8)

    @property
    def num_bytes(self) -> int:
        return self._block.numel()

    def arrays(self, kinds: Sequence[tuple[Sequence[int], torch.dtype]]) -> list[Tensor]:
        """Arrays of these shapes and types, with any content; those handed out before may no longer be used."""
        sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in kinds]
        ends = [0]
        for size in sizes:
            ends.append(ends[-1] + -(-size // ALIGNMENT) * ALIGNMENT)
        if ends[-1] > self.num_bytes:
            self._block = torch.empty(0, dtype=torch.uint8)  # Given back first, so that both never exist at once.
            self._block = torch.empty(ends[-1], dtype=torch.uint8, pin_memory=True)
        return [
            self._block[start : start + size].view(dtype).view(*shape)
            for (shape, dtype), start, size in zip(kinds, ends, sizes, strict=False)
        ]
