# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Construction of the backend that a model needs."""

from __future__ import annotations

import torch

from ciae_ros.inference.backends.backend import Backend
from ciae_ros.inference.backends.ciae_backend import CiaeBackend
from ciae_ros.inference.backends.mask_backend import MaskBackend
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.huggingface.mask_model import MaskModel
from ciae_ros.inference.loading.named_models import Model
from ciae_ros.inference.loading.onnx_model import OnnxModel
from ciae_ros.inference.networks.mask_network import MaskNetwork
from ciae_ros.inference.networks.onnx_network import OnnxNetwork
from ciae_ros.inference.networks.torch_network import TorchNetwork


def build_backend(
    model: Model,
    device: torch.device,
    dtype: torch.dtype,
    input_size: int | None = None,
    compile_network: bool = False,
) -> Backend:
    """Create the backend of a model on a device.

    Args:
        model: a network that PyTorch runs is taken over and modified.
        device: the CPU or an available CUDA device.
        dtype: type of weights and activations.
        input_size: length of the shorter side in the network, in pixels; that of the model if None.
        compile_network: compile it with `torch.compile`; not supported for exported models.

    Raises:
        CheckpointError: ONNX Runtime cannot run the model on that device, or it was exported in another precision, or
            is to be compiled.
        ValueError: the network does not support the input size.
    """
    if isinstance(model, OnnxModel):
        if compile_network:
            raise CheckpointError(
                f"torch.compile cannot compile {model.path}: set compile to false, or give a checkpoint"
            )
        return CiaeBackend(OnnxNetwork(model, device, dtype), input_size)
    if isinstance(model, MaskModel):
        return MaskBackend(MaskNetwork(model, device, dtype, input_size, compile_network), model, device)
    return CiaeBackend(TorchNetwork(model, device, dtype, compile_network), input_size)
