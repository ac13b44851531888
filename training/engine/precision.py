# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Precision of the network's forward pass in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ciae_ros.inference.execution.processor import has_bf16

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions of the forward pass by their names."""
AUTOCAST_OF_PRECISION = {"fp32": "none"} | {name: name for name in ("fp16", "bf16")}
"""Values of `OptimizationConfig.autocast` by the names of `ciae_ros.inference.precision`."""


@contextmanager
def forward_precision(name: str, device: torch.device) -> Iterator[None]:
    """Compute in one of `AUTOCAST`, or in float32 for "none"; "auto" is bf16 on a CPU that has instructions for it.

    On a CPU, depthwise convolutions stay in float32: oneDNN's gradient of their weights takes three to six times as
    long in bfloat16.
    """
    if name == "auto" and device.type == "cpu" and has_bf16():
        name = "bf16"
    if name not in AUTOCAST:
        yield
        return
    with torch.autocast(device.type, AUTOCAST[name]):
        if device.type != "cpu":
            yield
            return
        with _DepthwiseInFloat32():
            yield


class _DepthwiseInFloat32(TorchFunctionMode):
    """Excludes depthwise convolutions from autocasting."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is not torch.conv2d or args[1].shape[1] > 1:
            return func(*args, **kwargs)
        image, *rest = args
        with torch.autocast(image.device.type, enabled=False):
            return func(image.float(), *rest, **kwargs)
