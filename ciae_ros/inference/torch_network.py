"""The network in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from ciae_ros.inference.checkpoint import Checkpoint
from ciae_ros.inference.fold_batch_norm import fold_batch_norm
from ciae_ros.model import RawOutputs


class TorchNetwork:
    """A checkpoint's network on a device: batch normalisations folded, channels last."""

    runtime = ""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        """Take over the checkpoint's model, which is changed."""
        self.config = checkpoint.model.config
        self._model = checkpoint.model.eval().requires_grad_(False)
        fold_batch_norm(self._model.backbone)
        self._model.to(device, dtype).to(memory_format=torch.channels_last)
        self.memory = self._model.memory

    def __call__(self, batch: Tensor) -> RawOutputs:
        """(B, 3, H, W) normalised RGB, H and W multiples of `SIZE_DIVISOR`, to the raw outputs."""
        return self._model(batch)
