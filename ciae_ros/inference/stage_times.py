# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Stage times of a batch, and the clock that measures them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class StageTimes:
    """Seconds that a batch spent in each stage; on a CUDA device until the device has finished the stage."""

    preprocess: float
    network: float
    proposals: float
    fusion: float
    download: float


class StageClock(Protocol):
    """Measures successive stages."""

    def lap(self) -> object:
        """End the stage that began with the previous lap, or with the creation of the clock."""


class HostClock:
    """A stage clock that waits for the device at the end of each stage, so it measures the work and not its launch."""

    def __init__(self, device: torch.device) -> None:
        self._synchronize: Callable[[], object] = (
            (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else lambda: None
        )
        self._synchronize()
        self._last = time.perf_counter()
        self.laps: list[float] = []
        """Seconds of each completed stage."""

    def lap(self) -> float:
        """End a stage; returns its seconds."""
        self._synchronize()
        now = time.perf_counter()
        self.laps.append(now - self._last)
        self._last = now
        return self.laps[-1]
