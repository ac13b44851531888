# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Loops that PyTorch has no operator for, compiled by Numba and run on as many threads as PyTorch uses."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numba
import torch

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


# Sums and maxima may be taken in any order, which lets them be vectorised; infinities keep their meaning.
_OPTIONS: Any = {"nogil": True, "fastmath": {"nnan", "nsz", "reassoc"}}


def compiled(function: Kernel) -> Kernel:
    """Compile at the first call and without the interpreter lock; keep the machine code for the next process."""
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # No folder can be written to: compile in every process.
        return numba.njit(**_OPTIONS)(function)


def inlined(function: Kernel) -> Kernel:
    """Compile as a part of every kernel that calls it: a call would count the references of all its arrays."""
    return numba.njit(inline="always", **_OPTIONS)(function)


BANDS_PER_THREAD = 6
"""More bands than threads: PyTorch's own threads keep their cores busy for a while after each operator, and a thread
that has to share its core should not be waited for with half of the work."""


def num_bands(length: int) -> int:
    """Into how many bands `for_bands` cuts range(length)."""
    return min(torch.get_num_threads() * BANDS_PER_THREAD, length)


def for_bands(kernel: Callable[..., None], length: int, *arguments: object) -> None:
    """Call `kernel(band, start, stop, *arguments)` for bands that together cover range(length), on several threads."""
    bands = num_bands(length)
    left = iter(range(bands))

    def work() -> None:
        for band in left:
            kernel(band, length * band // bands, length * (band + 1) // bands, *arguments)

    threads = torch.get_num_threads()
    others = [_pool(threads).submit(work) for _ in range(threads - 1)]
    work()
    for other in others:
        other.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="ciae-kernel")
