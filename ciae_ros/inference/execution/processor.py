# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What is known about the processor of this machine."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

import torch

BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Names of the instructions for bf16 in /proc/cpuinfo; the last one is Arm's."""
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
"""Environment variables that keep PyTorch and OpenVINO from using some instructions."""


def has_bf16() -> bool:
    """Return whether the processor has instructions for bf16; without them, bf16 is emulated and very slow."""
    return bool(BF16_FLAGS & set(_cpu_info().get("flags", _cpu_info().get("Features", "")).split()))


def describe_processor() -> dict[str, str]:
    """Return what determines the speed of a network on this machine: processor, instructions and threads."""
    info = _cpu_info()
    return {
        "processor": info.get("model name", platform.machine()),
        "instructions": info.get("flags", info.get("Features", "")),
        "threads": str(torch.get_num_threads()),
        **{limit: os.environ.get(limit, "") for limit in LIMITS},
    }


@cache
def _cpu_info() -> dict[str, str]:
    """Return the entries of the first processor in /proc/cpuinfo; empty if there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
