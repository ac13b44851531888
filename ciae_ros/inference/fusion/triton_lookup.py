# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Lookup of a small table at every pixel on CUDA devices, without an int64 map of indices."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
"""Number of pixels per program."""


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return table[index] for a table (Q,) of any type and a contiguous map (H, W) int16 of indices below Q."""
    values = torch.empty(index.shape, dtype=table.dtype, device=index.device)
    size = index.numel()
    with torch.cuda.device_of(index):
        look_up_block[triton.cdiv(size, BLOCK),](table.contiguous(), index, values, size, BLOCK=BLOCK, num_warps=4)
    return values


@triton.jit(do_not_specialize=["size"])
def look_up_block(table: tl.tensor, index: tl.tensor, values: tl.tensor, size: tl.tensor, BLOCK: tl.constexpr) -> None:
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = pixel < size
    entry = tl.load(index + pixel, mask=exists, other=0).to(tl.int32)
    tl.store(values + pixel, tl.load(table + entry, mask=exists), mask=exists)
