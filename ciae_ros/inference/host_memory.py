# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Tuning of glibc's allocator for CPU inference, and memory usage of the process."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_LARGE = 1 << 30
_PADDING = 256 << 20


def limit_malloc_arenas() -> None:
    """Limit malloc to one arena for all threads; call it before other threads are started.

    A thread keeps the arena it was assigned, and per-thread arenas return memory to the system only in part.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_ARENA_MAX, 1)


def disable_malloc_trim() -> None:
    """Keep large freed blocks for the next frame instead of returning them to the system, for the whole process.

    By default glibc maps every activation again, and the page faults cost a CPU network a good part of its time.
    Without effect where the C library has no mallopt.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_TRIM_THRESHOLD, _LARGE)
    mallopt(_M_TOP_PAD, _PADDING)
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    # Inference runs on its own thread: let it use the main arena, the only one that may grow without bound.
    mallopt(_M_ARENA_MAX, 1)


def trim_malloc() -> None:
    """Collect garbage and return unused pages, which `disable_malloc_trim` keeps, to the system."""
    gc.collect()
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return
    malloc_trim(0)


def resident_bytes(peak: bool = False) -> int | None:
    """Return the resident memory of this process, or its peak since `reset_peak_memory`; None where it is unknown."""
    key = "VmHWM:" if peak else "VmRSS:"
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(key)), None)


def reset_peak_memory() -> None:
    """Reset the peak of `resident_bytes`; without effect where the system does not support it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
