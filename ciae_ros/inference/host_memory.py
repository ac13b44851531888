# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""How the C library treats the memory that the network's activations leave behind on a CPU."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_LARGE = 1 << 30
_PADDING = 256 << 20


def use_one_heap() -> None:
    """Have all threads of the process allocate from one heap; to be called before there are any others.

    A thread keeps the heap that it was given, and a heap of its own is given back to the system only in part.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_ARENA_MAX, 1)


def keep_freed_memory() -> None:
    """Keep large freed blocks for the next frame instead of giving them back to the system; for the whole process.

    By default glibc maps every activation anew, and the page faults cost a CPU network a good part of its time. A C
    library without these settings is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_TRIM_THRESHOLD, _LARGE)
    mallopt(_M_TOP_PAD, _PADDING)
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    # The frames are segmented on a thread of their own: let it use the one heap that may grow without bound.
    mallopt(_M_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Return to the system the pages that nothing uses any more, as `keep_freed_memory` keeps them."""
    gc.collect()
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return
    malloc_trim(0)


def resident_bytes(peak: bool = False) -> int | None:
    """Memory of the machine that this process holds, or the most since `forget_peak`; None where that is not told."""
    key = "VmHWM:" if peak else "VmRSS:"
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(key)), None)


def forget_peak() -> None:
    """Let the peak of `resident_bytes` begin anew; without effect where the system does not offer it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
