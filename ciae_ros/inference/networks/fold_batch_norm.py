# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Folding of batch normalisations into the preceding convolutions, which saves passes over memory."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn
from torchvision.ops import FrozenBatchNorm2d

from ciae_ros.model.layers import DeformableConv2d

_LEAVES = nn.BatchNorm2d, FrozenBatchNorm2d, DeformableConv2d


class _LeafTracer(fx.Tracer):
    """A tracer whose leaves are modules without children and those in `_LEAVES` (timm's have children)."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LEAVES) or not any(True for _ in m.children())


@torch.no_grad()
def fold_batch_norm(module: nn.Module) -> int:
    """Fold, in place, every batch normalisation whose input is the output of a convolution with no other consumer.

    Args:
        module: module in evaluation mode whose control flow does not depend on tensors.

    Returns:
        The number of folded batch normalisations.
    """
    modules = dict(module.named_modules())
    if not any(isinstance(each, (nn.BatchNorm2d, FrozenBatchNorm2d)) for each in modules.values()):
        return 0  # Networks without them, such as Swin, need not be traceable.
    folded = 0
    for node in _LeafTracer().trace(module).nodes:
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, (nn.BatchNorm2d, FrozenBatchNorm2d)):
            continue
        source = node.args[0]
        conv = modules.get(str(source.target)) if isinstance(source, fx.Node) and len(source.users) == 1 else None
        if isinstance(conv, nn.Conv2d):
            _fold(conv, norm)
            parent, _, name = str(node.target).rpartition(".")
            # timm's batch normalisations contain the activation, which stays.
            setattr(modules[parent], name, getattr(norm, "act", nn.Identity()))
            folded += 1
    return folded


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d | FrozenBatchNorm2d) -> None:
    variance, mean, weight, bias = (
        tensor.double()
        for tensor in (norm.running_var, norm.running_mean, norm.weight, norm.bias)
        if tensor is not None
    )
    scale = weight / torch.sqrt(variance + norm.eps)
    old_bias: Tensor | float = 0.0 if conv.bias is None else conv.bias.double()
    new_weight = conv.weight.double() * scale[:, None, None, None]
    new_bias = (old_bias - mean) * scale + bias
    conv.weight = nn.Parameter(new_weight.to(conv.weight.dtype))
    conv.bias = nn.Parameter(new_bias.to(conv.weight.dtype))
