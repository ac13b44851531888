# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The training loop: iterations, validation, checkpoints and orderly stopping."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import torch
import yaml
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ciae_ros.inference import CategorySet, save_checkpoint
from ciae_ros.inference.host_memory import disable_malloc_trim
from ciae_ros.model import CIAE
from training import distributed
from training.config import REFERENCE_BATCH_SIZE, ConfigError, TrainingConfig
from training.data.dataset import Batch, BatchSampler, TrainingImages, load_batches
from training.data.sample import DataError
from training.data.workers import describe_failure, is_worker_failure
from training.engine.builders import build_dataset, build_state, choose_device, load_annotations
from training.engine.monitoring import Monitor
from training.engine.optimization import set_training_mode
from training.engine.schedule import Schedule, scaled_schedule
from training.engine.state import TrainingState
from training.engine.step import NonFiniteStepError, training_step
from training.engine.thresholds import build_predictor, choose_thresholds
from training.engine.validation import validate
from training.evaluation import calibration


class DivergedError(Exception):
    """The loss or gradient is not finite; the message names the iteration and the file with the batch."""


def train(config: TrainingConfig, output: Path) -> None:
    """Train from the beginning, or resume the run in `output`."""
    output.mkdir(parents=True, exist_ok=True)
    device = choose_device(config.device)
    if device.type == "cpu":
        disable_malloc_trim()
    dataset = build_dataset(config)
    if config.data.val is not None:
        load_annotations(config.data.val)  # Fails now rather than at the first validation.
    schedule = scaled_schedule(config.optimization)
    state = build_state(config, dataset.categories, device)
    if (output / "state.pt").exists():
        state.load(output / "state.pt", config)
    if distributed.rank() == 0:
        (output / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        _announce(config, schedule, dataset, state, output)
    with _StopSignal() as stop, Monitor(output, config, schedule, state.iteration, dataset.categories) as monitor:
        _run(config, output, device, dataset, schedule, state, stop, monitor)


def _run(
    config: TrainingConfig,
    output: Path,
    device: torch.device,
    dataset: TrainingImages,
    schedule: Schedule,
    state: TrainingState,
    stop: _StopSignal,
    monitor: Monitor,
) -> None:
    network = _distributed(state.model, device)
    set_training_mode(state.model, config.optimization)
    batches = _batches(config, dataset, state.iteration, device)
    while True:
        if _validation_is_due(config, schedule, state):
            validate(config, state, dataset.categories, output, device, monitor)
            _save(state, output, config, must=False)
        if state.iteration == schedule.iterations:
            break
        waiting = time.perf_counter()
        try:
            batch = next(batches)
        except Exception:
            if not stop.received:
                raise
            # The signal also ended the loader's workers, which is why reading from them failed.
            _stop(state, output, config, monitor)
            return
        monitor.data_wait = time.perf_counter() - waiting
        state.skipped_images += int(distributed.sum_over_ranks(torch.tensor(batch.skipped, device=device)))
        try:
            losses = training_step(config, network, state, batch, schedule)
        except NonFiniteStepError as error:
            raise DivergedError(
                f"{error}; its batch is saved in {_save_batch(batch, state.iteration, output)}"
            ) from None
        monitor.log(state, batch, losses)
        state.iteration += 1
        last = state.iteration == schedule.iterations
        stopped = stop.requested(device)
        if stopped:
            _stop(state, output, config, monitor)
            return
        if last or state.iteration % config.checkpoint_every == 0:
            _save(state, output, config, must=last)
    if distributed.rank() == 0:
        _export(config, output, device, dataset.categories, state, monitor)


def _export(
    config: TrainingConfig,
    output: Path,
    device: torch.device,
    categories: CategorySet,
    state: TrainingState,
    monitor: Monitor,
) -> None:
    """Write the trained model with its thresholds."""
    thresholds = choose_thresholds(config, build_predictor(config, state, categories, device))
    path = output / "model.safetensors"
    save_checkpoint(path, config.name, state.evaluated_model, categories, thresholds.settings, thresholds.calibration)
    if thresholds.calibration:
        chosen = ", ".join(f"{name} {getattr(thresholds.settings, name):g}" for name in calibration.VALUES)
        monitor.note(f"thresholds chosen on {len(thresholds.calibration.images)} held-out images: {chosen}")
    monitor.note(f"trained: {path}")


def _validation_is_due(config: TrainingConfig, schedule: Schedule, state: TrainingState) -> bool:
    """Return whether to validate: every `evaluate_every` iterations and after the last, but only once."""
    if config.data.val is None or state.iteration == state.validated:
        return False
    every = config.evaluate_every
    return state.iteration == schedule.iterations or (every is not None and state.iteration % every == 0)


def _save_batch(batch: Batch, iteration: int, output: Path) -> Path:
    """Save a batch whose loss or gradient is not finite; returns the file."""
    path = output / f"non_finite_{iteration}_rank{distributed.rank()}.pt"
    target = batch.target
    torch.save(
        {
            "iteration": iteration,
            "image_ids": batch.image_ids,
            "images": batch.images,
            "segments": target.segments,
            "classes": target.classes,
        },
        path,
    )
    return path


def _batches(config: TrainingConfig, dataset: TrainingImages, first: int, device: torch.device) -> Iterator[Batch]:
    try:
        sampler = BatchSampler(
            dataset, config.optimization.batch_size, config.seed, first, distributed.rank(), distributed.num_ranks()
        )
    except ValueError as error:
        raise ConfigError(f"optimization.batch_size: {error}") from None
    try:
        for batch in load_batches(dataset, sampler, config.data.workers, pin_memory=device.type == "cuda"):
            yield batch.to(device)
    except DataError as error:
        # The message of a worker's error begins with its traceback.
        raise DataError(str(error).strip().splitlines()[-1].split("DataError: ")[-1]) from None
    except (OSError, RuntimeError) as error:
        if config.data.workers and is_worker_failure(error):
            raise DataError(describe_failure(error)) from None
        raise


def _distributed(model: CIAE, device: torch.device) -> nn.Module:
    if distributed.num_ranks() == 1:
        return model
    # Buffers that change are the memory's vectors, identical on all ranks, and statistics, which stay separate.
    return DistributedDataParallel(
        model, device_ids=[device] if device.type == "cuda" else None, broadcast_buffers=False
    )


def _save(state: TrainingState, output: Path, config: TrainingConfig, must: bool) -> None:
    """Write `state.pt`; unless `must`, a failure is only reported, as the previous file is intact."""
    if distributed.rank() != 0:
        return
    try:
        state.save(output / "state.pt", config)
    except OSError as error:
        if must:
            raise OSError(f"{output / 'state.pt'} could not be written ({error}); the previous one is intact") from None
        print(f"training: state.pt was not written ({error}); the previous one is intact", file=sys.stderr)


def _stop(state: TrainingState, output: Path, config: TrainingConfig, monitor: Monitor) -> None:
    _save(state, output, config, must=True)
    monitor.note(f"stopped after iteration {state.iteration}; the same command resumes")


class _StopSignal:
    """Records SIGTERM, so that the current iteration can finish and be saved."""

    def __init__(self) -> None:
        self.received = False

    def __enter__(self) -> _StopSignal:
        self._previous = signal.signal(signal.SIGTERM, self._record)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def requested(self, device: torch.device) -> bool:
        """Return whether any rank has received the signal."""
        return bool(distributed.sum_over_ranks(torch.tensor(float(self.received), device=device)) > 0)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        # The data loader's handler would raise in the middle of a step when its workers end by the same signal.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _announce(
    config: TrainingConfig, schedule: Schedule, dataset: TrainingImages, state: TrainingState, output: Path
) -> None:
    batch_size = config.optimization.batch_size
    trained = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
    print(f"{config.name}: {len(dataset)} images, {trained / 1e6:.1f} M trained weights, output in {output}")
    if config.optimization.scale_with_batch and batch_size != REFERENCE_BATCH_SIZE:
        print(
            f"batch {batch_size} instead of {REFERENCE_BATCH_SIZE}: learning rate {schedule.learning_rate:g}, "
            f"{schedule.iterations} iterations, milestones {schedule.milestones}, "
            f"warm-up {schedule.warmup_iterations} (linear scaling)"
        )
    if state.iteration:
        print(f"resuming at iteration {state.iteration}")
