# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Where the time of a batch goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class StageTimes:
    """Seconds that a batch spent in each stage; on a CUDA device the stages end when the device has ended them."""

    preprocess: float
    network: float
    proposals: float
    fusing: float
    download: float


class StageClock(Protocol):
    """Notes when a stage has ended."""

    def lap(self) -> None:
        """The stage that ran since the last lap, or since the clock was made, is over."""


class HostClock:
    """Waits for the device at the end of each stage, so that the times are those of the work and not of its launch."""

    def __init__(self, device: torch.device) -> None:
        self._synchronize: Callable[[], object] = (
            (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else lambda: None
        )
        self._last = time.perf_counter()
        self.laps: list[float] = []
        """Seconds of each stage so far."""

    def lap(self) -> None:
        """End a stage."""
        self._synchronize()
        now = time.perf_counter()
        self.laps.append(now - self._last)
        self._last = now
