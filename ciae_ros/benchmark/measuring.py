# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Times of what is to be compared: in turns, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Spread = dict[str, float]
"""`median`, `p10` and `p90`."""


class Clock:
    """Seconds between laps; on a CUDA device a lap ends when the device has ended its work."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.lap()

    def lap(self) -> float:
        """Seconds since the last lap, or since the clock was made."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        elapsed = now - getattr(self, "_last", now)
        self._last = now
        return elapsed


@dataclass(frozen=True)
class Rounds:
    """How often everything is measured."""

    counted: int
    warm_up: int


def in_turns(actions: Mapping[str, Callable[[], Any]], rounds: Rounds) -> dict[str, list[Any]]:
    """Call every action once a round; what each returned in the counted rounds.

    Every round begins with another one, every other round goes backwards: none always follows the same neighbour's heat
    and cache.
    """
    names = list(actions)
    returned: dict[str, list[Any]] = {name: [] for name in names}
    for index in range(rounds.warm_up + rounds.counted):
        first = index % len(names) if names else 0
        order = names[first:] + names[:first]
        for name in reversed(order) if index % 2 else order:
            value = actions[name]()
            if index >= rounds.warm_up:
                returned[name].append(value)
    return returned


def time_in_turns(
    actions: Mapping[str, Callable[[], Any]], rounds: Rounds, device: torch.device
) -> dict[str, list[float]]:
    """Seconds that each action took in the counted rounds."""

    def timed(action: Callable[[], Any]) -> Callable[[], float]:
        def run() -> float:
            clock = Clock(device)
            action()
            return clock.lap()

        return run

    return in_turns({name: timed(action) for name, action in actions.items()}, rounds)


def milliseconds(seconds: Sequence[float]) -> Spread:
    """Median and 10th and 90th percentile."""
    p10, median, p90 = np.percentile(1e3 * np.asarray(seconds), (10, 50, 90))
    return {"median": float(median), "p10": float(p10), "p90": float(p90)}
