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
    """One call."""

    name: str
    flops: int
    """Two for a multiplication with addition; only of convolutions and matrix products."""
    bytes: int
    """Of its tensors, each read or written once."""


@torch.no_grad()
def count_macs(function: Callable[[], Any]) -> int:
    """Multiplications with addition in convolutions and matrix products (as FLOP / 2), attention's among them.

    What the libraries' own kernels do (sampling, pooling of regions, suppression) is not counted.
    """
    # Attention as plain matrix products: the counter does not know every fused kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function()
    return int(counter.get_total_flops()) // 2


@torch.no_grad()
def count_operators(function: Callable[[], Any]) -> list[Operator]:
    """Every operator that touches memory, in order; views and reservations do not."""
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
    # An expanded tensor has more elements than it has memory.
    return sum(min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()) for tensor in tensors)
