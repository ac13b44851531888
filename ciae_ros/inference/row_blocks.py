# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Kernels on blocks of rows, run on as many threads as PyTorch uses."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

BLOCKS_PER_THREAD = 6
"""More blocks than threads balance the load: PyTorch's own threads spin for a while after each operator, and a thread
that has to share its core with them must not hold half of the work."""


def num_row_blocks(length: int) -> int:
    """Return the number of blocks that `for_row_blocks` divides range(length) into."""
    return min(torch.get_num_threads() * BLOCKS_PER_THREAD, length)


def for_row_blocks(kernel: Callable[..., None], length: int, *arguments: object) -> None:
    """Call `kernel(block, start, stop, *arguments)` for row blocks that cover range(length), on several threads."""
    blocks = num_row_blocks(length)
    remaining = iter(range(blocks))

    def work() -> None:
        for block in remaining:
            kernel(block, length * block // blocks, length * (block + 1) // blocks, *arguments)

    threads = torch.get_num_threads()
    others = [_pool(threads).submit(work) for _ in range(threads - 1)]
    work()
    for other in others:
        other.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="ciae-kernel")
