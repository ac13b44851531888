# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Learning rate over the iterations (Sec. V-C)."""

from __future__ import annotations

from dataclasses import dataclass

from training.config import REFERENCE_BATCH_SIZE, OptimizationConfig

WARMUP_START = 0.001
DECAY = 0.1
POLYNOMIAL_POWER = 0.9


@dataclass(frozen=True)
class Schedule:
    """Schedule of a run, scaled to its batch size."""

    iterations: int
    learning_rate: float
    milestones: tuple[int, ...]
    warmup_iterations: int
    polynomial: bool
    memory_factor: float = 1.0
    """Factor on 1 - lambda of the memory (Eq. 13)."""

    def rate(self, iteration: int) -> float:
        """Return the learning rate of an iteration, counted from 0."""
        warmup = 1.0
        if iteration < self.warmup_iterations:
            warmup = WARMUP_START + (1 - WARMUP_START) * iteration / self.warmup_iterations
        if self.polynomial:
            return self.learning_rate * warmup * (1 - iteration / self.iterations) ** POLYNOMIAL_POWER
        return self.learning_rate * warmup * DECAY ** sum(iteration >= milestone for milestone in self.milestones)


def scaled_schedule(config: OptimizationConfig) -> Schedule:
    """Return the schedule for the configured batch size, by the linear scaling rule if configured."""
    factor = config.batch_size / REFERENCE_BATCH_SIZE if config.scale_with_batch else 1.0
    return Schedule(
        iterations=max(1, round(config.iterations / factor)),
        learning_rate=config.learning_rate * factor,
        milestones=tuple(round(milestone / factor) for milestone in config.milestones),
        warmup_iterations=round(config.warmup_iterations / factor),
        polynomial=config.schedule == "polynomial",
        memory_factor=factor,
    )
