# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Where a training step's time goes: `python -m training.profile_step --config config/training/coco.yaml`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from ciae_ros.inference.host_memory import disable_malloc_trim
from training.config import ConfigError, TrainingConfig, load_config
from training.data.dataset import Batch, BatchSampler, PanopticDataset, collate
from training.data.sample import DataError
from training.optimization import set_training_mode
from training.preparation import build_dataset, build_state, choose_device
from training.pretrained import PretrainedError
from training.schedule import scaled_schedule
from training.training_state import TrainingState
from training.training_step import NonFiniteStepError, training_step

GPUS = 8
"""Of the machine that the number of workers is computed for."""


def main(arguments: list[str] | None = None) -> int:
    """Print medians over some steps; 1 with the reason if the configuration or the data cannot be used."""
    options = _parse(arguments)
    try:
        config = load_config(options.config, options.overrides)
        device = choose_device(config.device)
        if device.type == "cpu":
            disable_malloc_trim()
        dataset = build_dataset(config)
        state = build_state(config, dataset.categories, device)
        batches, seconds_per_image = _decode(dataset, config, options.steps)
        times = [step_times(config, state, batch.to(device)) for batch in batches]
    except (ConfigError, DataError, PretrainedError, NonFiniteStepError, OSError) as error:
        print(f"profile_step: {error}", file=sys.stderr)
        return 1
    _report(config, batches, times, seconds_per_image)
    return 0


def _decode(dataset: PanopticDataset, config: TrainingConfig, steps: int) -> tuple[list[Batch], float]:
    """Some batches, and the time that one core takes to decode and augment an image."""
    sampler = iter(BatchSampler(dataset, config.optimization.batch_size, config.seed))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # As in the workers.
    batches, seconds = [], []
    for _ in range(steps + 1):
        draws = next(sampler)
        begin = time.perf_counter()
        batches.append(collate([dataset[draw] for draw in draws]))
        seconds.append((time.perf_counter() - begin) / len(draws))
    torch.set_num_threads(threads)
    return batches, median(seconds[1:])


def step_times(config: TrainingConfig, state: TrainingState, batch: Batch) -> dict[str, float]:
    """Seconds of each part of one step; on a CUDA device each ends when the device has ended it.

    Raises:
        NonFiniteStepError: the loss or the gradient is not finite.
    """
    set_training_mode(state.model, config.optimization)
    times: dict[str, float] = {}
    clock = _clock(batch.images.device)
    schedule = scaled_schedule(config.optimization)
    training_step(config, state.model, state, batch, schedule, lambda part: times.__setitem__(part, clock()))
    return times


def _clock(device: torch.device) -> Callable[[], float]:
    """Seconds since the last call."""
    last = time.perf_counter()

    def lap() -> float:
        nonlocal last
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        before, last = last, time.perf_counter()
        return last - before

    return lap


def _report(
    config: TrainingConfig, batches: list[Batch], times: list[dict[str, float]], seconds_per_image: float
) -> None:
    size = config.optimization.batch_size
    heights, widths = zip(*(batch.images.shape[2:] for batch in batches), strict=True)
    instances = sum(len(classes) for batch in batches for classes in batch.target.classes) / (size * len(batches))
    print(f"{config.name}: batch {size}, {max(heights)} x {max(widths)} at most, {instances:.1f} instances an image")
    medians = {name: median(step[name] for step in times[1:]) for name in times[0]}
    total = sum(medians.values())
    for name, seconds in medians.items():
        print(f"  {name:15} {1e3 * seconds:9.1f} ms  {seconds / total:6.1%}")
    print(f"  {'step':15} {1e3 * total:9.1f} ms")
    rate = size / total
    workers = rate * seconds_per_image
    print(
        f"one core decodes and augments {1 / seconds_per_image:.1f} images/s, this device trains {rate:.1f} images/s: "
        f"{workers:.1f} workers for it, {GPUS * workers:.0f} for {GPUS} of it"
    )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m training.profile_step", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5, help="steps to take the median of, after one to warm up")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
