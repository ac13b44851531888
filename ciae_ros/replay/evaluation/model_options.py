# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Options of the model that a command uses, which can be built in another process."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ciae_ros.inference import DEFAULT_MODEL, Predictor
from ciae_ros.inference.category_map import CategoryMap
from ciae_ros.inference.device_choice import choose_device, choose_precision
from ciae_ros.inference.loading.named_models import AUTO, TORCH, load_for_backend
from ciae_ros.inference.settings import THRESHOLDS


@dataclass(frozen=True)
class ModelOptions:
    """Options with the names and meanings of the node's parameters."""

    model: str = DEFAULT_MODEL
    device: str = AUTO
    backend: str = AUTO
    precision: str = AUTO
    input_size: int | None = None
    score_threshold: float | None = None
    nms_threshold: float | None = None
    duplicate_similarity: float | None = None
    duplicate_iou: float | None = None
    mask_threshold: float | None = None
    overlap_threshold: float | None = None
    min_stuff_area: int | None = None
    category_map: str | None = None
    """Path of a map to the categories of the results (`CategoryMap`)."""

    def build(self) -> Predictor:
        """Load the model.

        Raises:
            CheckpointError: the model does not exist or cannot be used.
            ValueError: the device does not exist or does not support the precision, or the map cannot be used.
        """
        category_map = CategoryMap.load(Path(self.category_map)) if self.category_map else None
        device = choose_device(self.device)
        model = load_for_backend(self.model, self.backend)
        if category_map:
            category_map.check_names(model.categories.categories)
        settings = model.settings.override(**{name: getattr(self, name) for name in THRESHOLDS})
        precision = choose_precision(self.precision, model, device)
        # Not measured as by the node: the results must not depend on the speed of the machine.
        runtime = TORCH if self.backend == AUTO else self.backend
        return Predictor(
            model, device, precision, settings, self.input_size, category_map=category_map, runtime=runtime
        )


def describe_settings(predictor: Predictor) -> dict[str, Any]:
    """Describe the settings that affect the results besides the weights."""
    expected = predictor.backend.input_format
    of_map = {"map": predictor.map_digest} if predictor.map_digest else {}
    return (
        of_map
        | {
            "precision": predictor.precision,
            "input_size": expected.input_size,
            "max_input_size": expected.max_input_size,
        }
        | asdict(predictor.settings)
    )
