# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`training`: images per second, peak memory and parts of a training step, for several presets."""

from __future__ import annotations

import argparse
import time
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import NOT_MEASURED, Results, markdown_table, number_cell, spread_cell
from benchmarks.harness.timing import milliseconds
from ciae_ros.inference.host_memory import disable_malloc_trim, reset_peak_memory, resident_bytes
from ciae_ros.inference.stage_times import HostClock
from ciae_ros.model import PRESETS
from training.config import TrainingConfig, load_config
from training.data.dataset import Batch, BatchSampler, TrainingImages, collate, load_batches
from training.data.sample import DataError
from training.engine.builders import build_dataset, build_state, choose_device
from training.engine.optimization import set_training_mode
from training.engine.precision import AUTOCAST_OF_PRECISION
from training.engine.schedule import scaled_schedule
from training.engine.state import TrainingState
from training.engine.step import BACKWARD, EMBEDDING_LOSS, FORWARD, training_step

DATA_WAIT = "waiting for data"
DEFAULT_PRESETS = ("light_512", "r50_512", "r50_800")
NOTES = [
    "Each preset in its own process, with random weights, the configuration's data, augmentation at the preset's "
    "size, and the configuration's batch and workers. A round is a training step: loading, forward, "
    "losses, backward, optimiser with schedule, memory update and average of weights.",
    "Waiting for data is the time for the loader, including the upload. The CIAE loss is the loss of the embedding, "
    "with its category- and instance-aware parts, and its gradient for the embedding map; the rest of the gradient is "
    "in backward. Shares are those of the medians.",
    "Peak memory: CUDA: torch.cuda.max_memory_allocated; CPU: growth of the process's resident memory, without the "
    "loader's workers.",
    "Workers needed: cores that decode and augment images as fast as the device trains.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--config", type=Path, default=Path("config/training/coco.yaml"), help="default: %(default)s")
    add("--presets", nargs="+", choices=PRESETS, default=DEFAULT_PRESETS, metavar="PRESET", help="which of them")
    add(
        "--set",
        nargs="+",
        default=[],
        metavar="key=value",
        help="overrides of the configuration, for example of the data",
    )


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark.

    Raises:
        ValueError: the configuration or the data cannot be used.
    """
    rows = [_row(preset, options, benchmark_run) for preset in options.presets]
    parameters = {"config": str(options.config), "changes": options.set, "steps": benchmark_run.rounds.counted}
    return Results("training", benchmark_run.conditions, parameters, rows, NOTES)


def _row(preset: str, options: argparse.Namespace, benchmark_run: BenchmarkRun) -> dict[str, Any]:
    overrides = _overrides(preset, options)
    # In its own process, so that the peak memory is that of this preset.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        task = pool.submit(
            _measure, options.config, overrides, benchmark_run.rounds.counted, benchmark_run.rounds.warm_up
        )
        try:
            speed = task.result()
        except (DataError, OSError) as error:
            raise ValueError(f"{preset}: {error}") from None
        except RuntimeError as error:
            # Probably too large for the device: other presets may fit.
            return {"preset": preset, "note": f"{NOT_MEASURED}: {' '.join(str(error).split())[:200]}"}
    row = {"preset": preset, "overrides": overrides} | asdict(speed)
    row["parts"] = {name: milliseconds(values) for name, values in row.pop("seconds").items()}
    return row


def _measure(path: Path, overrides: list[str], steps: int, warm_up: int) -> TrainingSpeed:
    return measure_speed(load_config(path, overrides), steps, warm_up)


def _overrides(preset: str, options: argparse.Namespace) -> list[str]:
    config = PRESETS[preset]
    return [
        "pretrained=null",
        f"device={options.device}",
        f"optimization.autocast={AUTOCAST_OF_PRECISION[options.precision]}",
        f"model.preset={preset}",
        f"augmentation.shorter_side=[{config.input_size}, {config.input_size}]",
        f"augmentation.longer_side={config.max_input_size}",
        *options.set,
    ]


def table(results: Results) -> str:
    """Format the results as Markdown."""
    header = ["preset", "batch", "largest input", "instances per image", "images/s", "peak MB", DATA_WAIT, "CIAE loss"]
    header += ["forward ms", f"{EMBEDDING_LOSS} ms", "backward ms", "workers needed"]
    return markdown_table(header, [_cells(row) for row in results.rows])


def _cells(row: dict[str, Any]) -> list[str]:
    if "note" in row:
        return [row["preset"], row["note"], *[""] * 10]
    peak = row["peak_memory_bytes"]
    return [
        row["preset"],
        str(row["batch_size"]),
        "{} x {}".format(*row["largest"]),
        number_cell(row["instances"]),
        number_cell(row["images_per_second"], 2),
        number_cell(peak / 2**20, 0) if peak else NOT_MEASURED,
        f"{row['shares'][DATA_WAIT]:.1%}",
        f"{row['shares'][EMBEDDING_LOSS]:.1%}",
        *(spread_cell(row["parts"][part]) for part in (FORWARD, EMBEDDING_LOSS, BACKWARD)),
        number_cell(row["images_per_second"] * row["decode_seconds"]),
    ]


@dataclass(frozen=True)
class TrainingSpeed:
    """Speed of a training process on a device."""

    images_per_second: float
    """Images per second, including the waiting for data, without logging and validation."""
    seconds: dict[str, list[float]]
    """Seconds of the counted steps, for `DATA_WAIT` and the parts of `step_times`."""
    shares: dict[str, float]
    """Shares of the step, 0 to 1: the medians divided by their sum."""
    peak_memory_bytes: int | None
    """Peak memory: on CUDA the maximum that PyTorch has allocated; on a CPU the maximum growth of this process's
    resident memory since before the network was built, without the workers; None if the system does not report it."""
    batch_size: int
    largest: tuple[int, int]
    """Height and width of the largest batch."""
    instances: float
    """Mean number of instances in an image."""
    decode_seconds: float
    """Time in which one core decodes and augments an image."""


def measure_speed(config: TrainingConfig, steps: int, warm_up: int) -> TrainingSpeed:
    """Train for some steps, with the configured loader and workers.

    Raises:
        ConfigError: the configuration cannot be used.
        DataError: the data cannot be used.
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
                _reset_peak(device)
            begin = time.perf_counter()
            batch = next(batches)
            _wait_for(device)  # The upload counts as waiting.
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
        decode_seconds=decode_seconds(config, dataset),
    )


def _batches(config: TrainingConfig, dataset: TrainingImages, device: torch.device) -> Generator[Batch, None, None]:
    sampler = BatchSampler(dataset, config.optimization.batch_size, config.seed)
    for batch in load_batches(dataset, sampler, config.data.workers, pin_memory=device.type == "cuda"):
        yield batch.to(device)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    reset_peak_memory()


def _peak(device: torch.device, before: int | None) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    after = resident_bytes(peak=True)
    return None if before is None or after is None else after - before


def step_times(config: TrainingConfig, state: TrainingState, batch: Batch) -> dict[str, float]:
    """Run a training step; returns the seconds of each part, on a CUDA device until its completion.

    Raises:
        NonFiniteStepError: the loss or the gradient is not finite.
    """
    set_training_mode(state.model, config.optimization)
    times: dict[str, float] = {}
    clock = HostClock(batch.images.device)
    schedule = scaled_schedule(config.optimization)
    training_step(config, state.model, state, batch, schedule, lambda part: times.__setitem__(part, clock.lap()))
    return times


def decode_seconds(config: TrainingConfig, dataset: TrainingImages, batches: int = 3) -> float:
    """Measure the time that one core takes to decode and augment an image."""
    sampler = iter(BatchSampler(dataset, config.optimization.batch_size, config.seed))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # As in the workers of the loader.
    seconds = []
    for _ in range(batches + 1):
        draws = next(sampler)
        start = time.perf_counter()
        collate([dataset[draw] for draw in draws])
        seconds.append((time.perf_counter() - start) / len(draws))
    torch.set_num_threads(threads)
    return median(seconds[1:])
