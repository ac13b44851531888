"""What the device can do at most: matrix products and copies, measured in the precision that the network uses."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ciae_ros.benchmark.measuring import Rounds, time_in_turns


@dataclass(frozen=True)
class DeviceRates:
    """The best of all rounds."""

    flops: float
    """Floating-point operations a second in a large matrix product, two for a multiplication with addition."""
    bytes: float
    """Read plus written a second in copying a large tensor."""

    def seconds(self, flops: int, num_bytes: int) -> float:
        """The least time that this takes (roofline: the longer of the two)."""
        return max(flops / self.flops, num_bytes / self.bytes)


def measure_rates(device: torch.device, dtype: torch.dtype, rounds: Rounds, is_small: bool = False) -> DeviceRates:
    """Measure; `is_small` tries the way of it only."""
    is_cuda = device.type == "cuda"
    side, elements = (8192, 1 << 28) if is_cuda else (2048, 1 << 26)
    if is_small:
        side, elements = 64, 1 << 14
    a, b = torch.randn(side, side, device=device, dtype=dtype), torch.randn(side, side, device=device, dtype=dtype)
    source = torch.zeros(elements, device=device, dtype=dtype)
    target = torch.empty_like(source)
    times = time_in_turns({"product": lambda: torch.matmul(a, b), "copy": lambda: target.copy_(source)}, rounds, device)
    num_bytes = 2 * source.numel() * source.element_size()
    return DeviceRates(2 * side**3 / min(times["product"]), num_bytes / min(times["copy"]))
