# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Interleaved timing: other load on the machine affects all compared functions alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ciae_ros.inference.stage_times import HostClock

Spread = dict[str, float]
"""`median`, `p10` and `p90`."""


@dataclass(frozen=True)
class Rounds:
    """Number of rounds in which everything is measured."""

    counted: int
    warm_up: int


def interleaved(actions: Mapping[str, Callable[[], Any]], rounds: Rounds) -> dict[str, list[Any]]:
    """Call every action once per round and return what each returned in the counted rounds.

    Each round starts with the next action and every other round runs in reverse order, so that no action always runs
    with the caches and temperature that the same other action leaves.
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


def time_interleaved(
    actions: Mapping[str, Callable[[], Any]], rounds: Rounds, device: torch.device
) -> dict[str, list[float]]:
    """Time each action in seconds, in the counted rounds."""

    def timed(action: Callable[[], Any]) -> Callable[[], float]:
        def run() -> float:
            clock = HostClock(device)
            action()
            return clock.lap()

        return run

    return interleaved({name: timed(action) for name, action in actions.items()}, rounds)


def milliseconds(seconds: Sequence[float]) -> Spread:
    """Return median, 10th and 90th percentile in milliseconds."""
    p10, median, p90 = np.percentile(1e3 * np.asarray(seconds), (10, 50, 90))
    return {"median": float(median), "p10": float(p10), "p90": float(p90)}
