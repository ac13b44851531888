# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The interface of a network, which PyTorch (`torch_network`) or ONNX Runtime (`onnx_network`) runs."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ciae_ros.inference.loading.checkpoint import Checkpoint, CheckpointError
from ciae_ros.inference.loading.onnx_model import OnnxModel
from ciae_ros.inference.networks.onnx_network import OnnxNetwork
from ciae_ros.inference.networks.torch_network import TorchNetwork
from ciae_ros.inference.proposals.candidates import NetworkOutputs
from ciae_ros.model import ModelConfig
from ciae_ros.model.category_memory import CategoryMemory


class Network(Protocol):
    """A network on a device."""

    config: ModelConfig
    memory: CategoryMemory
    """On the network's device, in its precision."""
    runtime: str
    """Human-readable name of the runtime; empty for PyTorch in eager mode."""
    supports_graph_capture: bool
    """Whether the network can be captured into a CUDA graph."""

    def __call__(self, batch: Tensor) -> NetworkOutputs:
        """Run the network on (B, 3, H, W) normalised RGB, on its device and in its precision.

        Raises:
            ValueError: the network does not support images of this size.
        """


def build_network(
    model: Checkpoint | OnnxModel, device: torch.device, dtype: torch.dtype, compile_network: bool = False
) -> Network:
    """Create the network of a model on a device.

    Args:
        model: a checkpoint's network is taken over and modified.
        device: the CPU or an available CUDA device.
        dtype: type of weights and activations.
        compile_network: compile it with `torch.compile`; supported for checkpoints only.

    Raises:
        CheckpointError: ONNX Runtime cannot run the model on that device, or it was exported in another precision, or
            is to be compiled.
    """
    if not isinstance(model, OnnxModel):
        return TorchNetwork(model, device, dtype, compile_network)
    if compile_network:
        raise CheckpointError(f"torch.compile cannot compile {model.path}: set compile to false, or give a checkpoint")
    return OnnxNetwork(model, device, dtype)
