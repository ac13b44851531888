# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Whether kernels written in Triton can run on a device."""

from __future__ import annotations

import warnings
from functools import cache

import torch


def runs_triton(device: torch.device) -> bool:
    """Is it a CUDA device for which Triton is installed and compiles?

    The first call for a device runs a small kernel there: it should not be made while a CUDA graph is captured.
    """
    return device.type == "cuda" and _compiles(device)


@cache
def _compiles(device: torch.device) -> bool:
    try:
        from ciae_ros.inference.triton_look_up import look_up  # noqa: PLC0415
    except ImportError:
        return False
    try:
        zeros = torch.zeros(1, 1, dtype=torch.int16, device=device)
        look_up(zeros[0], zeros)
    except Exception as error:  # Anything from a missing C compiler to a device that is too old.
        warnings.warn(f"Triton is installed but cannot be used on {device}, fusing is slower: {error}", stacklevel=2)
        return False
    return True
