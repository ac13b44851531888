# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a captured CUDA graph reads, and therefore needs for as long as it exists.

A graph contains addresses, not tensors: every replay reads its inputs where they were during the capture. Inputs that
belong to a cache, such as sampling grids or the position embeddings of transformers, would be freed with their entry of
the cache, and the graph would read whatever takes their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any

from torch import Tensor, UntypedStorage
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_capture: ContextVar[GraphInputs | None] = ContextVar("capture", default=None)


def keep_for_graph(value: object) -> None:
    """Keep an object whose tensors Triton kernels read, which is invisible to PyTorch; does nothing without capture."""
    capture = _capture.get()
    if capture is not None:
        capture.kept.append(value)


class GraphInputs:
    """A context around a capture, which keeps its inputs until it is garbage."""

    def __init__(self, watch_operators: bool = True) -> None:
        """Prepare the context.

        Args:
            watch_operators: keep what PyTorch's operators read. Code that `torch.compile` has generated needs nothing
                of this kind, and would not be used while operators are watched.
        """
        self.kept: list[object] = []
        self._mode = _InputStorages() if watch_operators else None

    def __enter__(self) -> GraphInputs:
        self._token: Token[GraphInputs | None] = _capture.set(self)
        if self._mode is not None:
            self._mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._mode is not None:
            self._mode.__exit__(*error)
            self.kept += self._mode.inputs.values()
        _capture.reset(self._token)


class _InputStorages(TorchDispatchMode):
    """Collects the memory that operators read or write and that none of them has allocated."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: dict[int, UntypedStorage] = {}
        self._allocated: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for storage in _storages((args, kwargs)):
            if storage._cdata not in self._allocated:
                self.inputs[storage._cdata] = storage
        result = func(*args, **(kwargs or {}))
        self._allocated |= {storage._cdata for storage in _storages(result)} - self.inputs.keys()
        return result


def _storages(values: Any) -> list[UntypedStorage]:
    return [value.untyped_storage() for value in pytree.tree_leaves(values) if isinstance(value, Tensor)]
