# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A network of transformers that predicts a class and a mask for each query, run by PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ciae_ros.inference.loading.huggingface.mask_model import MaskModel


class MaskOutputs(NamedTuple):
    """Classes and masks of Q queries for B images."""

    class_logits: Tensor
    """(B, Q, C + 1), the last one for "no object"."""
    mask_logits: Tensor
    """(B, Q, h, w) map of the padded image."""


class MaskNetwork:
    """The network of a `MaskModel` on a device."""

    def __init__(
        self,
        model: MaskModel,
        device: torch.device,
        dtype: torch.dtype,
        input_size: int | None = None,
        compile_network: bool = False,
    ) -> None:
        """Take over and modify the model's module.

        Args:
            model: the model.
            device: the CPU or an available CUDA device.
            dtype: type of weights and activations.
            input_size: length of the shorter side in the network, in pixels; that of the model if None.
            compile_network: compile it with `torch.compile`.

        Raises:
            ValueError: the network does not support the input size.
        """
        self.input_dtype = dtype
        self.input_format = model.input_format if input_size is None else model.input_format.at_input_size(input_size)
        module: Any = model.module
        if self.input_format.is_square:
            _resize_square(module, self.input_format.max_input_size)
        module = module.to(device, dtype).to(memory_format=torch.channels_last)
        if hasattr(module, "attn_mask_probs"):
            # EoMT asks it for each block whether to use its masks, which would wait for the device.
            module.attn_mask_probs = module.attn_mask_probs.cpu()
        self._task_tokens = None if model.task_tokens is None else model.task_tokens.to(device)
        self._forward: Callable[..., Any] = torch.compile(module, dynamic=False) if compile_network else module
        self.runtime = "torch.compile" if compile_network else ""

    def __call__(self, batch: Tensor) -> MaskOutputs:
        """Run the network on (B, 3, H, W) normalised RGB in the `input_format`."""
        inputs = {} if self._task_tokens is None else {"task_inputs": self._task_tokens.expand(len(batch), -1)}
        outputs = self._forward(pixel_values=batch, **inputs)
        if "class_queries_logits" in outputs:
            return MaskOutputs(outputs.class_queries_logits, outputs.masks_queries_logits)
        return MaskOutputs(outputs.logits, outputs.pred_masks)


def _resize_square(module: Any, size: int) -> None:
    """Make EoMT take squares of another size: interpolate its position embeddings, if it has learned ones."""
    patch = module.config.patch_size
    side = size // patch
    module.grid_size = (side, side)
    table = getattr(module.embeddings, "position_embeddings", None)
    if not isinstance(table, nn.Embedding) or table.num_embeddings == side * side:
        return
    trained = round(table.num_embeddings**0.5)
    grid = table.weight.detach().T.reshape(1, -1, trained, trained)
    weight = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)[0].flatten(1).T
    module.embeddings.position_embeddings = nn.Embedding.from_pretrained(weight.contiguous(), freeze=True)
    module.embeddings.position_ids = torch.arange(side * side)[None]
