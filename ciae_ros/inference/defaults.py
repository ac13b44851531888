# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What "auto" means: the device and the precision that suit a machine and a model."""

from __future__ import annotations

import torch

from ciae_ros.inference.checkpoint import Checkpoint, CheckpointError
from ciae_ros.inference.host_memory import keep_freed_memory
from ciae_ros.inference.onnx_model import OnnxModel

AUTO = "auto"


def choose_device(device: str) -> str:
    """The one that is named, or for "auto" the first CUDA device, else the CPU, which is told to keep its memory."""
    if device == AUTO:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        keep_freed_memory()
    return device


def choose_precision(precision: str, model: Checkpoint | OnnxModel, device: str) -> str:
    """The one that is named, or for "auto" the exported model's own, or fp16 on CUDA and fp32 elsewhere.

    Raises:
        CheckpointError: an exported model has a precision that the device is not for.
    """
    if precision != AUTO:
        return precision
    if isinstance(model, OnnxModel):
        if model.precision == "fp16" and device == "cpu":
            raise CheckpointError(f"{model.path} is fp16, which is not for the CPU: export it without --fp16")
        return model.precision
    return "fp16" if device.startswith("cuda") else "fp32"
