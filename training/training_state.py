# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Everything that a training run needs to go on where it was, and its file."""

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
from training.weight_average import WeightAverage

COUNTERS = ("iteration", "skipped_images", "best", "validated")
"""Fields of the state that are plain numbers."""


@dataclass
class TrainingState:
    """A run between two iterations. Batches and augmentation follow from the seed and the iteration's number."""

    model: CIAE
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage | None
    iteration: int = 0
    """The next one."""
    skipped_images: int = 0
    best: float = -1.0
    """Highest PQ on the validation images so far, or -1."""
    validated: int = 0
    """The iteration after which it was validated last."""

    @property
    def evaluated_model(self) -> CIAE:
        """The averaged model if there is one, else the model itself."""
        return self.model if self.average is None else self.average.model

    def save(self, path: Path, config: TrainingConfig) -> None:
        """Write it atomically.

        Raises:
            OSError: it could not be written; the file that was there before is whole.
        """
        content = {name: getattr(self, name) for name in COUNTERS}
        content |= {name: part.state_dict() for name, part in self._parts().items()}
        content["config"] = _comparable(config)
        buffer = io.BytesIO()  # Of a full disk `torch.save` would not say more than that something went wrong.
        torch.save(content, buffer)
        with open_atomically(path) as file:
            file.write(buffer.getbuffer())

    def load(self, path: Path, config: TrainingConfig) -> None:
        """Take over what `save` has written.

        Raises:
            ConfigError: the file is of a run with another configuration, or damaged.
        """
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # Whatever unpickling may raise.
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"{path} cannot be read ({reason}): remove it to begin anew") from None
        if not isinstance(content, dict) or not content.keys() >= {"config", *COUNTERS, *self._parts()}:
            raise ConfigError(f"{path} is not the state of a training run: remove it to begin anew")
        different = _first_difference(content["config"], _comparable(config))
        if different:
            raise ConfigError(f"{path} is of a run with another {different}: choose another output folder")
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
"""Keys that do not change what is learned."""


def _comparable(config: TrainingConfig) -> dict[str, Any]:
    """The configuration as plain values, without what a resumed run may have another of."""
    values = config.model_dump(mode="json", exclude=MAY_CHANGE)
    del values["data"]["workers"]
    return values


def _first_difference(a: Any, b: Any, key: str = "") -> str:
    """Key of the first value that differs, or nothing."""
    if not isinstance(a, dict) or not isinstance(b, dict):
        return "" if a == b else f"{key} ({a}, not {b})"
    differences = (_first_difference(a.get(k), b.get(k), f"{key}.{k}".lstrip(".")) for k in sorted(a.keys() | b.keys()))
    return next((difference for difference in differences if difference), "")
