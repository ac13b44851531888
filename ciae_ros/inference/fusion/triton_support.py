# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Check whether Triton kernels can run on a device."""

from __future__ import annotations

import warnings
from functools import cache

import torch

_refusals: dict[torch.device, str] = {}
"""Why the kernels are not used, by device."""


def runs_triton(device: torch.device) -> bool:
    """Whether this is a CUDA device for which Triton is installed and compiles, and that has not been refused.

    The first call for a device runs a small kernel on it, so it must not happen during the capture of a CUDA graph.

    Args:
        device: with its index, as that of a tensor.
    """
    return device.type == "cuda" and device not in _refusals and _compiles(device)


def refuse_triton(device: torch.device, reason: str) -> None:
    """Use PyTorch's operators on a device from now on, in the whole process, because its kernels are not right."""
    _refusals[device] = reason


def triton_refusal(device: torch.device) -> str:
    """Return why Triton's kernels are not used on a device, human-readable; empty if they have not been refused."""
    return _refusals.get(device, "")


@cache
def _compiles(device: torch.device) -> bool:
    try:
        from ciae_ros.inference.fusion.triton_lookup import look_up  # noqa: PLC0415
    except ImportError:
        return False
    try:
        zeros = torch.zeros(1, 1, dtype=torch.int16, device=device)
        look_up(zeros[0], zeros)
    except Exception as error:  # From a missing C compiler to an unsupported device.
        warnings.warn(f"Triton is installed but cannot be used on {device}, fusion is slower: {error}", stacklevel=2)
        return False
    return True
