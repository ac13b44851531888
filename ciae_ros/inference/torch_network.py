# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The network in PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ciae_ros.inference.checkpoint import Checkpoint
from ciae_ros.inference.fold_batch_norm import fold_batch_norm
from ciae_ros.model import RawOutputs


class TorchNetwork:
    """A checkpoint's network on a device: batch normalisations folded, channels last."""

    can_be_captured = True

    def __init__(
        self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, compile_network: bool = False
    ) -> None:
        """Take over the checkpoint's model, which is changed."""
        self.config = checkpoint.model.config
        self._model = checkpoint.model.eval().requires_grad_(False)
        fold_batch_norm(self._model.backbone)
        self._model.to(device, dtype).to(memory_format=torch.channels_last)
        self.memory = self._model.memory
        self._forward: Callable[[Tensor], RawOutputs] = (
            torch.compile(self._model, dynamic=False) if compile_network else self._model
        )
        self.runtime = "torch.compile" if compile_network else ""

    def __call__(self, batch: Tensor) -> RawOutputs:
        """(B, 3, H, W) normalised RGB, H and W multiples of `SIZE_DIVISOR`, to the raw outputs."""
        return self._forward(batch)
