# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The interface of a CIAE network, which PyTorch, ONNX Runtime or OpenVINO runs (`*_network`)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ciae_ros.inference.proposals.candidates import NetworkOutputs
from ciae_ros.model import ModelConfig
from ciae_ros.model.category_memory import CategoryMemory


class Network(Protocol):
    """A CIAE network on a device."""

    config: ModelConfig
    memory: CategoryMemory
    """On the network's device."""
    runtime: str
    """Human-readable name of the runtime; empty for PyTorch in eager mode."""
    supports_graph_capture: bool
    """Whether the network can be captured into a CUDA graph."""
    input_dtype: torch.dtype
    """Type of the batch."""

    def prepare(self, size: tuple[int, int]) -> None:
        """Do once what images of this padded (height, width) need, such as compiling the network for them.

        Raises:
            ValueError: the network does not support images of this size.
        """

    def __call__(self, batch: Tensor) -> NetworkOutputs:
        """Run the network on (B, 3, H, W) normalised RGB, on its device.

        Raises:
            ValueError: the network does not support images of this size.
        """
