# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Construction of the backend that a model needs.

Each kind of network is imported when it is built: a converted network does not need torchvision, timm and PyTorch's
compiler, whose imports take as long as the rest of a node's start.
"""

from __future__ import annotations

import copy

import torch

from ciae_ros.inference.backends.backend import Backend
from ciae_ros.inference.backends.ciae_backend import CiaeBackend
from ciae_ros.inference.loading.checkpoint import Checkpoint
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.huggingface.mask_model import MaskModel
from ciae_ros.inference.loading.named_models import OPENVINO, TENSORRT, TORCH, Model
from ciae_ros.inference.loading.onnx_model import OnnxModel, load_onnx_model
from ciae_ros.inference.networks.network import Network
from ciae_ros.inference.precision import DTYPES

# ruff: noqa: PLC0415


def build_backend(
    model: Model,
    device: torch.device,
    precision: str,
    input_size: int | None = None,
    compile_network: bool = False,
    runtime: str = TORCH,
) -> Backend:
    """Create the backend of a model on a device.

    Args:
        model: a network that PyTorch runs is taken over and modified.
        device: the CPU or an available CUDA device.
        precision: precision of weights and activations, one of `DTYPES`.
        input_size: length of the shorter side in the network, in pixels; that of the model if None.
        compile_network: compile it with `torch.compile`; only for PyTorch.
        runtime: what runs the network of a checkpoint, one of `RUNTIMES`; other models have their own.

    Raises:
        CheckpointError: the runtime is not installed, or cannot run the model on that device or in the precision, or is
            not PyTorch and the network is to be compiled.
        ExportError: the network cannot be converted for the runtime.
        ValueError: the network does not support the input size.
    """
    dtype = DTYPES[precision]
    if compile_network and (isinstance(model, OnnxModel) or runtime != TORCH):
        raise CheckpointError(
            "torch.compile needs a checkpoint that PyTorch runs: set compile to false, or backend to torch"
        )
    if isinstance(model, OnnxModel):
        from ciae_ros.inference.networks.onnx_network import OnnxNetwork

        return CiaeBackend(OnnxNetwork(model, device, dtype), input_size)
    if isinstance(model, MaskModel):
        from ciae_ros.inference.backends.mask_backend import MaskBackend
        from ciae_ros.inference.networks.mask_network import MaskNetwork

        return MaskBackend(MaskNetwork(model, device, dtype, input_size, compile_network), model, device)
    return CiaeBackend(_network(model, device, precision, input_size, compile_network, runtime), input_size)


def _network(
    checkpoint: Checkpoint,
    device: torch.device,
    precision: str,
    input_size: int | None,
    compile_network: bool,
    runtime: str,
) -> Network:
    if runtime == TORCH:
        from ciae_ros.inference.networks.torch_network import TorchNetwork

        return TorchNetwork(checkpoint, device, DTYPES[precision], compile_network)
    if runtime == OPENVINO:
        if device.type != "cpu":
            raise CheckpointError("OpenVINO runs networks on the CPU here: set device to cpu, or backend to torch")
        from ciae_ros.inference.conversion.converted_models import openvino_model
        from ciae_ros.inference.networks.openvino_network import OpenVinoNetwork

        return OpenVinoNetwork(checkpoint, openvino_model(checkpoint), precision)
    from ciae_ros.inference.conversion.converted_models import onnx_model
    from ciae_ros.inference.networks.exported_network import ExportedNetwork

    # The network that runs other sizes modifies the checkpoint's model.
    original = copy.deepcopy(checkpoint)
    size = checkpoint.config.input_size if input_size is None else input_size

    def export(padded: tuple[int, int]) -> OnnxModel:
        return load_onnx_model(onnx_model(original, padded, size, precision), tensorrt=runtime == TENSORRT)

    return ExportedNetwork(checkpoint, export, device, DTYPES[precision])
