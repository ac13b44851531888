"""Fair times on a noisy machine: contestants in turns, medians over rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch


def time_in_turns(
    contestants: Mapping[str, Callable[[], object]], rounds: int, device: torch.device, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call, by contestant; in every round each contestant has one turn.

    Args:
        contestants: what to call, by name.
        rounds: that count.
        device: whose work a call is to have finished.
        warm_up: rounds before that do not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(warm_up + rounds):
        for name, call in contestants.items():
            _synchronize(device)
            start = time.perf_counter()
            call()
            _synchronize(device)
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
