# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""How fast a training runs: images a second, memory, and what it waits for."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from statistics import median

import torch

from ciae_ros.inference.host_memory import disable_malloc_trim, reset_peak_memory, resident_bytes
from training.config import TrainingConfig
from training.data.dataset import Batch, BatchSampler, PanopticDataset, load_batches
from training.preparation import build_dataset, build_state, choose_device
from training.profile_step import step_times

DATA_WAIT = "waiting for data"


@dataclass(frozen=True)
class TrainingSpeed:
    """Of one process on one device."""

    images_per_second: float
    """The waiting for data included, logging and validation not."""
    seconds: dict[str, list[float]]
    """Of every counted step: `DATA_WAIT` and the parts of `step_times`."""
    shares: dict[str, float]
    """Of the step, 0 to 1: the medians of the above over their sum."""
    peak_memory_bytes: int | None
    """CUDA: the most that PyTorch has allocated. CPU: how far this process's resident memory has grown at most since
    before the network was built, without the workers'; None where the system does not tell."""
    batch_size: int
    largest: tuple[int, int]
    """Height and width of the largest batch."""
    instances: float
    """Mean number in an image."""


def measure_speed(config: TrainingConfig, steps: int, warm_up: int) -> TrainingSpeed:
    """Train for some steps, with the loader and its workers as the configuration has them.

    Raises:
        ConfigError: the configuration cannot be used.
        DataError: the data cannot be.
    """
    device = choose_device(config.device)
    if device.type == "cpu":
        disable_malloc_trim()
    dataset = build_dataset(config)
    before = resident_bytes()
    state = build_state(config, dataset.categories, device)
    seconds: dict[str, list[float]] = {}
    shapes, instances = [], []
    with closing(_batches(config, dataset, device)) as batches:
        for index in range(warm_up + steps):
            if index == warm_up:
                _forget_peak(device)
            begin = time.perf_counter()
            batch = next(batches)
            _wait_for(device)  # The upload is waiting too.
            parts = {DATA_WAIT: time.perf_counter() - begin} | step_times(config, state, batch)
            if index < warm_up:
                continue
            for name, value in parts.items():
                seconds.setdefault(name, []).append(value)
            shapes.append(tuple(batch.images.shape[2:]))
            instances += [len(classes) for classes in batch.target.classes]
    peak = _peak(device, before)
    medians = {name: median(values) for name, values in seconds.items()}
    total = sum(sum(values) for values in seconds.values())
    size = config.optimization.batch_size
    return TrainingSpeed(
        images_per_second=steps * size / total,
        seconds=seconds,
        shares={name: value / sum(medians.values()) for name, value in medians.items()},
        peak_memory_bytes=peak,
        batch_size=size,
        largest=(max(height for height, _ in shapes), max(width for _, width in shapes)),
        instances=sum(instances) / len(instances),
    )


def _batches(config: TrainingConfig, dataset: PanopticDataset, device: torch.device) -> Generator[Batch, None, None]:
    sampler = BatchSampler(dataset, config.optimization.batch_size, config.seed)
    for batch in load_batches(dataset, sampler, config.data.workers, pin_memory=device.type == "cuda"):
        yield batch.to(device)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    reset_peak_memory()


def _peak(device: torch.device, before: int | None) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    after = resident_bytes(peak=True)
    return None if before is None or after is None else after - before
