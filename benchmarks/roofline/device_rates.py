# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Peak rates of the device in matrix products and copies, measured in the network's precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.harness.timing import Rounds, time_interleaved


@dataclass(frozen=True)
class DeviceRates:
    """Best rates of all rounds."""

    flops: float
    """Floating-point operations per second, two for a multiplication with addition: the better of a large matrix
    product and a large 1 x 1 convolution, which uses another library on some processors."""
    bytes: float
    """Bytes read and written per second when copying a large tensor."""

    def seconds(self, flops: int, num_bytes: int) -> float:
        """Return the minimum time of the operations (roofline: the longer of both times)."""
        return max(flops / self.flops, num_bytes / self.bytes)


def measure_rates(device: torch.device, dtype: torch.dtype, rounds: Rounds, is_small: bool = False) -> DeviceRates:
    """Measure the rates; `is_small` only exercises the code path."""
    is_cuda = device.type == "cuda"
    side, elements = (8192, 1 << 28) if is_cuda else (2048, 1 << 26)
    if is_small:
        side, elements = 64, 1 << 14
    a, b = torch.randn(side, side, device=device, dtype=dtype), torch.randn(side, side, device=device, dtype=dtype)
    # A square image with as many pixels as the matrix has rows.
    rows = 1 << (side.bit_length() // 2)
    pixels = torch.randn(1, side, rows, side // rows, device=device, dtype=dtype)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(side, side, 1, 1, device=device, dtype=dtype)
    source = torch.zeros(elements, device=device, dtype=dtype)
    target = torch.empty_like(source)
    actions: dict[str, Callable[[], Tensor]] = {
        "product": lambda: torch.matmul(a, b),
        "convolution": lambda: torch.conv2d(pixels, kernel),
        "copy": lambda: target.copy_(source),
    }
    with torch.inference_mode():
        times = time_interleaved(actions, rounds, device)
    num_bytes = 2 * source.numel() * source.element_size()
    product = min(*times["product"], *times["convolution"])
    return DeviceRates(2 * side**3 / product, num_bytes / min(times["copy"]))
