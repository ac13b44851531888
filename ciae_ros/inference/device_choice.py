# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Resolution of "auto" to the device and precision that suit the machine and the model."""

from __future__ import annotations

import torch

from ciae_ros.inference.host_memory import disable_malloc_trim
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.named_models import AUTO, Model
from ciae_ros.inference.loading.onnx_model import OnnxModel
from ciae_ros.inference.precision import DTYPES


def default_device() -> str:
    """Return "cuda" if a CUDA device is available, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_device(device: str) -> str:
    """Return the named device; "auto" selects the first CUDA device, or else the CPU.

    For the CPU, malloc trimming is disabled (`disable_malloc_trim`).
    """
    if device == AUTO:
        device = default_device()
    if device == "cpu":
        disable_malloc_trim()
    return device


def choose_precision(precision: str, model: Model, device: str) -> str:
    """Return the named precision; "auto" selects that of an exported model, or else fp16 on CUDA and fp32 on a CPU.

    Raises:
        CheckpointError: the device does not support the precision of an exported model.
    """
    if precision != AUTO:
        return precision
    if isinstance(model, OnnxModel):
        if model.precision == "fp16" and device == "cpu":
            raise CheckpointError(f"{model.path} is fp16, which the CPU does not support: export it without --fp16")
        return model.precision
    return "fp16" if device.startswith("cuda") else "fp32"


def checked_device(device: str, precision: str) -> torch.device:
    """Return the device, with its index if it is a CUDA device, if it exists and supports the precision.

    Raises:
        ValueError: it does not; the message says what to choose instead.
    """
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"unknown device {device!r}: use cpu, cuda or cuda:N") from None
    if precision not in DTYPES:
        raise ValueError(f"unknown precision {precision!r}: use one of {', '.join(DTYPES)}")
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is not supported: use cpu, cuda or cuda:N")
    if found.type == "cpu":
        if precision == "fp16":
            raise ValueError("the CPU does not support fp16: use fp32 or bf16")
        return found
    if (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {device!r} does not exist: this machine has {torch.cuda.device_count()} CUDA devices")
    if found.index is None:
        found = torch.device("cuda", torch.cuda.current_device())
    with torch.cuda.device(found):
        if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise ValueError(f"device {device!r} does not support bf16: use fp16")
    return found
