"""How the C library treats the memory that the network's activations leave behind on a CPU."""

from __future__ import annotations

import ctypes
import gc

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_LARGE = 1 << 30
_PADDING = 256 << 20


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
