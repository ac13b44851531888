# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Progress of a training run: a progress bar, and TensorBoard scalars and images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ciae_ros.inference import CategorySet
from training import distributed
from training.config import TrainingConfig
from training.data.dataset import Batch
from training.engine.schedule import Schedule
from training.engine.state import TrainingState
from training.engine.tensorboard_images import training_images
from training.losses.criterion import Losses


class Monitor:
    """Reports the progress on rank 0; on other ranks it does nothing."""

    def __init__(
        self, output: Path, config: TrainingConfig, schedule: Schedule, first: int, categories: CategorySet
    ) -> None:
        self._config, self._schedule, self._categories = config, schedule, categories
        self._is_enabled = distributed.rank() == 0
        self._is_failure_reported = False
        self.data_wait = 0.0
        """Seconds of waiting for the last batch."""
        if self._is_enabled:
            self._writer = SummaryWriter(str(output / "tensorboard"), purge_step=first)
            self._bar = tqdm(
                total=schedule.iterations, initial=first, unit="it", desc=config.name, dynamic_ncols=True, smoothing=0.1
            )

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_enabled:
            self._bar.close()
            with self._reporting_failures():
                self._writer.close()

    def log(self, state: TrainingState, batch: Batch, losses: Losses) -> None:
        """Log an iteration, whose index is still `state.iteration`, at the configured intervals."""
        if not self._is_enabled:
            return
        self._bar.update()
        iteration, config = state.iteration, self._config
        if iteration % config.log_every == 0:
            values = {"total": float(losses.total.detach())} | {n: float(v) for n, v in losses.parts.items()}
            self._bar.set_postfix(
                {name: f"{value:.3g}" for name, value in values.items()} | {"wait": f"{self.data_wait * 1e3:.0f}ms"}
            )
            self._write({f"loss/{name}": value for name, value in values.items()}, iteration)
            self._write(
                {
                    "run/learning_rate": self._schedule.rate(iteration),
                    "run/memory_momentum": config.memory.at(
                        iteration, self._schedule.iterations, self._schedule.memory_factor
                    ),
                    "run/data_wait_seconds": self.data_wait,
                    "run/skipped_images": state.skipped_images,
                },
                iteration,
            )
        if config.pictures_every and (iteration + 1) % config.pictures_every == 0:
            images = training_images(state.evaluated_model, batch, self._categories, config.inference)
            for name, image in images.items():
                with self._reporting_failures():
                    self._writer.add_image(name, torch.from_numpy(image), iteration, dataformats="HWC")

    def scores(self, scores: dict[str, float], iteration: int) -> None:
        """Log the scores of the validation images."""
        if self._is_enabled:
            self._write({f"validation/{name}": value for name, value in scores.items()}, iteration)
            self.note("  ".join(f"{name} {value:.2f}" for name, value in scores.items()))

    def note(self, text: str) -> None:
        """Print a line above the progress bar."""
        if self._is_enabled:
            self._bar.write(text)

    def _write(self, values: dict[str, float], iteration: int) -> None:
        with self._reporting_failures():
            for name, value in values.items():
                self._writer.add_scalar(name, value, iteration)

    @contextmanager
    def _reporting_failures(self) -> Iterator[None]:
        """Report once, and continue, if TensorBoard's files cannot be written, as on a full disk."""
        try:
            yield
        except OSError as error:
            if not self._is_failure_reported:
                self.note(f"TensorBoard's files cannot be written: {error}")
            self._is_failure_reported = True
