# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Compilation of Python loops by Numba, for what no library has a function for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# Sums and maxima may be taken in any order, which lets them be vectorised; infinities keep their meaning.
_FAST_MATH = {"nnan", "nsz", "reassoc"}


def compiled(function: Kernel) -> Kernel:
    """Compile a function at its first call, without the GIL; the machine code is cached for later processes.

    No value in it may be NaN; see `compiled_with_nan`.
    """
    return _compile(function, fastmath=_FAST_MATH)


def compiled_with_nan(function: Kernel) -> Kernel:
    """Compile a function like `compiled`, in which NaN is compared and stored as IEEE 754 defines it."""
    return _compile(function, fastmath=_FAST_MATH - {"nnan"})


def inlined(function: Kernel) -> Kernel:
    """Inline a function into every kernel that calls it: a call would count the references of all its arrays."""
    inline: Any = numba.njit(inline="always", nogil=True, fastmath=_FAST_MATH)
    return inline(function)


def _compile(function: Kernel, **options: Any) -> Any:
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # No cache folder is writable: compile in every process.
        return numba.njit(nogil=True, **options)(function)
