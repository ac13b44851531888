# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A checkpoint's network run by ONNX Runtime, exported for each size that its input is prepared for."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from ciae_ros.inference.loading.checkpoint import Checkpoint
from ciae_ros.inference.loading.onnx_model import OnnxModel
from ciae_ros.inference.loading.optional_runtimes import import_onnxruntime
from ciae_ros.inference.networks.onnx_network import OnnxNetwork
from ciae_ros.inference.networks.torch_network import TorchNetwork
from ciae_ros.inference.proposals.candidates import NetworkOutputs

Export = Callable[[tuple[int, int]], OnnxModel]
"""Exports the checkpoint for a padded (height, width)."""


class ExportedNetwork:
    """A network in ONNX Runtime; PyTorch runs images of other sizes, because an export takes seconds."""

    supports_graph_capture = False

    def __init__(self, checkpoint: Checkpoint, export: Export, device: torch.device, dtype: torch.dtype) -> None:
        """Take over the checkpoint's model.

        Args:
            checkpoint: the checkpoint that is exported.
            export: must not need the checkpoint's model unmodified.
            device: the CPU or an available CUDA device.
            dtype: type of weights and activations.

        Raises:
            CheckpointError: ONNX Runtime is not installed.
        """
        self.input_dtype = dtype
        self._export, self._device = export, device
        self._fallback = TorchNetwork(checkpoint, device, dtype)
        self.config, self.memory = self._fallback.config, self._fallback.memory
        self.runtime = f"ONNX Runtime {import_onnxruntime().__version__}"
        self._networks: dict[tuple[int, int], OnnxNetwork] = {}
        self._unprepared: set[tuple[int, int]] = set()

    def prepare(self, size: tuple[int, int]) -> None:
        """Export the network for images of this padded (height, width).

        Raises:
            CheckpointError, ExportError: it cannot be exported, or ONNX Runtime cannot run it.
        """
        if size not in self._networks:
            network = self._networks[size] = OnnxNetwork(self._export(size), self._device, self.input_dtype)
            self.runtime = network.runtime

    def __call__(self, batch: Tensor) -> NetworkOutputs:
        """Run the network on (B, 3, H, W) normalised RGB."""
        size = (batch.shape[2], batch.shape[3])
        if size in self._networks:
            return self._networks[size](batch)
        if size not in self._unprepared and len(self._unprepared) < 100:
            self._unprepared.add(size)
            logging.getLogger(__name__).warning(
                "images of %d x %d in the network are run by PyTorch, because it was not exported for them: list the "
                "sizes of the cameras in expected_sizes",
                *size,
            )
        return self._fallback(batch)
