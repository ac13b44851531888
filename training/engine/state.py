# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""State of a training run, from which it resumes, and its file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ciae_ros.core.atomic_file import open_atomically
from ciae_ros.model import CIAE
from training.config import ConfigError, TrainingConfig
from training.engine.ema import WeightAverage

COUNTERS = ("iteration", "skipped_images", "best", "validated")
"""Fields of the state that are numbers."""


@dataclass
class TrainingState:
    """A run between two iterations. The seed and the iteration determine batches and augmentation."""

    model: CIAE
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage | None
    iteration: int = 0
    """Index of the next iteration."""
    skipped_images: int = 0
    best: float = -1.0
    """Highest PQ on the validation images so far, or -1."""
    validated: int = 0
    """Number of iterations at the last validation."""

    @property
    def evaluated_model(self) -> CIAE:
        """Return the averaged model if there is one, else the model itself."""
        return self.model if self.average is None else self.average.model

    def save(self, path: Path, config: TrainingConfig) -> None:
        """Save the state atomically.

        Raises:
            OSError: the file cannot be written; the previous file is intact.
        """
        content = {name: getattr(self, name) for name in COUNTERS}
        content |= {name: part.state_dict() for name, part in self._parts().items()}
        content["config"] = _comparable(config)
        buffer = io.BytesIO()  # On a full disk `torch.save` raises an error that does not say so.
        torch.save(content, buffer)
        with open_atomically(path) as file:
            file.write(buffer.getbuffer())

    def load(self, path: Path, config: TrainingConfig) -> None:
        """Restore the state from a file.

        Raises:
            ConfigError: the file belongs to a run with another configuration, or is corrupt.
        """
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # Unpickling may raise anything.
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"{path} cannot be read ({reason}): remove it to start again") from None
        if not isinstance(content, dict) or not content.keys() >= {"config", *COUNTERS, *self._parts()}:
            raise ConfigError(f"{path} is not the state of a training run: remove it to start again")
        different = _first_difference(content["config"], _comparable(config))
        if different:
            raise ConfigError(f"{path} belongs to a run with another {different}: choose another output folder")
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        for name in COUNTERS:
            setattr(self, name, content[name])

    def _parts(self) -> dict[str, nn.Module | Optimizer | torch.amp.GradScaler]:
        parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler}
        if self.average is not None:
            parts["average"] = self.average.model
        return parts


MAY_CHANGE = {"device", "checkpoint_every", "evaluate_every", "log_every", "pictures_every"}
"""Keys that do not affect the trained weights."""


def _comparable(config: TrainingConfig) -> dict[str, Any]:
    """Return the configuration as plain values, without the keys that may differ in a resumed run."""
    values = config.model_dump(mode="json", exclude=MAY_CHANGE)
    del values["data"]["workers"]
    return values


def _first_difference(a: Any, b: Any, key: str = "") -> str:
    """Return the key of the first value that differs; empty if there is none."""
    if not isinstance(a, dict) or not isinstance(b, dict):
        return "" if a == b else f"{key} ({a}, not {b})"
    differences = (_first_difference(a.get(k), b.get(k), f"{key}.{k}".lstrip(".")) for k in sorted(a.keys() | b.keys()))
    return next((difference for difference in differences if difference), "")
