# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a `Predictor` needs of the network, whatever runs it: PyTorch (`torch_network`) or ONNX Runtime."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ciae_ros.inference.candidate_outputs import CandidateOutputs
from ciae_ros.inference.candidates import Candidates, select_candidates
from ciae_ros.inference.checkpoint import Checkpoint, CheckpointError
from ciae_ros.inference.onnx_model import OnnxModel
from ciae_ros.inference.onnx_network import OnnxNetwork
from ciae_ros.inference.proposals import Proposals, select_proposals, suppress_candidates
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.inference.torch_network import TorchNetwork
from ciae_ros.model import ModelConfig, RawOutputs
from ciae_ros.model.category_memory import CategoryMemory

NetworkOutputs = RawOutputs | CandidateOutputs


class Network(Protocol):
    """A network on a device."""

    config: ModelConfig
    memory: CategoryMemory
    """On the network's device, in its precision."""
    runtime: str
    """What runs it, for people; empty for PyTorch's operators one by one."""
    can_be_captured: bool
    """Into a CUDA graph."""

    def __call__(self, batch: Tensor) -> NetworkOutputs:
        """(B, 3, H, W) normalised RGB on the network's device and in its precision, to outputs on that device.

        Raises:
            ValueError: the network cannot take images of this size.
        """


def build_network(
    model: Checkpoint | OnnxModel, device: torch.device, dtype: torch.dtype, compile_network: bool = False
) -> Network:
    """The model on its device, run by what its kind calls for.

    Args:
        model: a checkpoint's network is taken over and changed.
        device: "cpu" or a CUDA device, which is there.
        dtype: of weights and activations.
        compile_network: by `torch.compile`; for checkpoints only.

    Raises:
        CheckpointError: ONNX Runtime cannot run the model on that device, or it was exported in another precision, or
            is to be compiled.
    """
    if not isinstance(model, OnnxModel):
        return TorchNetwork(model, device, dtype, compile_network)
    if compile_network:
        raise CheckpointError(f"torch.compile cannot compile {model.path}: set compile to false, or give a checkpoint")
    return OnnxNetwork(model, device, dtype)


def propose(outputs: NetworkOutputs, image: int, image_size: tuple[int, int], settings: InferenceSettings) -> Proposals:
    """Thresholds and non-maximum suppression (Sec. IV-C), from where the network has left off.

    Args:
        outputs: of any network.
        image: index in the batch.
        image_size: (height, width) of the image without its padding.
        settings: thresholds and counts.

    Raises:
        ValueError: the network selects another number of candidates than the settings ask for.
    """
    if isinstance(outputs, RawOutputs):
        return select_proposals(outputs, image, image_size, settings)
    candidates = candidates_of(outputs, settings.max_proposals_per_level)
    return suppress_candidates(candidates, image, image_size, settings)


def candidates_of(outputs: NetworkOutputs, max_per_level: int) -> Candidates:
    """The highest scores of each level, from where the network has left off.

    Raises:
        ValueError: the network selects another number of candidates itself.
    """
    if isinstance(outputs, RawOutputs):
        return select_candidates(outputs, max_per_level)
    if max_per_level != outputs.max_per_level:
        raise ValueError(
            f"max_proposals_per_level is {max_per_level}, the model was exported with {outputs.max_per_level}: "
            "use that, or export it again"
        )
    return outputs.candidates
