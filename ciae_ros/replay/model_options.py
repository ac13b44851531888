# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Which model segments, and how: as a command asks for it, to be built wherever it is to run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ciae_ros.inference import DEFAULT_MODEL, Predictor
from ciae_ros.inference.device_choice import AUTO, choose_device, choose_precision
from ciae_ros.inference.loading.named_models import load_for_backend


@dataclass(frozen=True)
class ModelOptions:
    """As the node's parameters of the same names."""

    model: str = DEFAULT_MODEL
    device: str = AUTO
    backend: str = AUTO
    precision: str = AUTO
    input_size: int | None = None
    score_threshold: float | None = None
    nms_threshold: float | None = None
    min_stuff_area: int | None = None

    def build(self) -> Predictor:
        """Load the model.

        Raises:
            CheckpointError: there is no such model, or it cannot be used.
            ValueError: there is no such device, or it does not have the precision.
        """
        device = choose_device(self.device)
        model = load_for_backend(self.model, self.backend)
        thresholds = {
            name: value
            for name in ("score_threshold", "nms_threshold", "min_stuff_area")
            if (value := getattr(self, name)) is not None
        }
        precision = choose_precision(self.precision, model, device)
        return Predictor(model, device, precision, replace(model.settings, **thresholds), self.input_size)


def describe_settings(predictor: Predictor) -> dict[str, Any]:
    """What the results depend on besides the weights."""
    return {
        "precision": predictor.precision,
        "input_size": predictor.config.input_size,
        "max_input_size": predictor.config.max_input_size,
    } | asdict(predictor.settings)
