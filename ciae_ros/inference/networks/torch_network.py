# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A network run by PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ciae_ros.inference.loading.checkpoint import Checkpoint
from ciae_ros.inference.networks.fold_batch_norm import fold_batch_norm
from ciae_ros.model import RawOutputs


class TorchNetwork:
    """A checkpoint's network on a device, with batch normalisations folded and channels last."""

    supports_graph_capture = True

    def __init__(
        self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, compile_network: bool = False
    ) -> None:
        """Take over and modify the checkpoint's model."""
        self.config = checkpoint.model.config
        self.input_dtype = dtype
        self._model = checkpoint.model.eval().requires_grad_(False)
        fold_batch_norm(self._model.backbone)
        self._model.to(device, dtype).to(memory_format=torch.channels_last)
        self.memory = self._model.memory
        self._forward: Callable[[Tensor], RawOutputs] = (
            torch.compile(self._model, dynamic=False) if compile_network else self._model
        )
        self.runtime = "torch.compile" if compile_network else ""

    def prepare(self, size: tuple[int, int]) -> None:
        """Do nothing: PyTorch runs images of any size."""

    def __call__(self, batch: Tensor) -> RawOutputs:
        """Run the network on (B, 3, H, W) normalised RGB, H and W multiples of `SIZE_DIVISOR`."""
        return self._forward(batch)
