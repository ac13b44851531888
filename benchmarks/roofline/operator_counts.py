# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Operations and memory traffic of PyTorch code, counted operator by operator while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry


@dataclass(frozen=True)
class Operator:
    """A call of an operator."""

    name: str
    flops: int
    """Operations of convolutions and matrix products, two for a multiplication with addition."""
    bytes: int
    """Bytes of its tensors, each read or written once."""


@torch.no_grad()
def count_macs(function: Callable[[], Any]) -> int:
    """Count multiplications with addition in convolutions and matrix products (as FLOP / 2), including attention.

    The libraries' own kernels (sampling, pooling of regions, suppression) are not counted.
    """
    # Attention as plain matrix products, because the counter does not support all fused kernels.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function()
    return int(counter.get_total_flops()) // 2


@torch.no_grad()
def count_operators(function: Callable[[], Any]) -> list[Operator]:
    """Record the operators that access memory, in order; views and allocations do not."""
    with sdpa_kernel(SDPBackend.MATH), _Recorder() as recorder:
        function()
    return recorder.operators


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operators: list[Operator] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func._overloadpacket.__name__
        if not func.is_view and not name.startswith(("empty", "new_empty", "_unsafe_view", "detach", "lift")):
            formula = flop_registry.get(func._overloadpacket)
            flops = int(formula(*args, **kwargs, out_val=out)) if formula else 0
            self.operators.append(Operator(name, flops, _bytes(args, kwargs, out)))
        return out


def _bytes(args: Any, kwargs: Any, out: Any) -> int:
    tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
    # An expanded tensor has more elements than memory.
    return sum(min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()) for tensor in tensors)
