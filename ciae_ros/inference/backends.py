# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Which library runs a model's network."""

from __future__ import annotations

from pathlib import Path

from ciae_ros.inference.checkpoint import Checkpoint, CheckpointError
from ciae_ros.inference.named_models import load_model
from ciae_ros.inference.onnx_model import OnnxModel, load_onnx_model

BACKENDS = ("auto", "torch", "onnx", "tensorrt")
"""auto: ONNX Runtime for .onnx files, else PyTorch. tensorrt: ONNX Runtime with its TensorRT provider."""

ONNX_SUFFIX = ".onnx"


def load_for_backend(name: str, backend: str = "auto") -> Checkpoint | OnnxModel:
    """A model for `Predictor`.

    Args:
        name: as `load_model` takes it, or the path of an .onnx file that `python -m ciae_ros.export` has written.
        backend: one of `BACKENDS`.

    Raises:
        CheckpointError: there is no such model, or its file cannot be used, or not by this backend.
    """
    is_onnx = Path(name).suffix == ONNX_SUFFIX
    if is_onnx and backend == "torch":
        raise CheckpointError(
            f"backend torch cannot run {name}: set backend to auto or onnx, or give a checkpoint (.safetensors)"
        )
    if not is_onnx and backend in ("onnx", "tensorrt"):
        raise CheckpointError(
            f"backend {backend} needs an .onnx file, and the model is {name or 'not set'}: write one with "
            "python -m ciae_ros.export, or set backend to auto or torch"
        )
    return load_onnx_model(Path(name), tensorrt=backend == "tensorrt") if is_onnx else load_model(name)
