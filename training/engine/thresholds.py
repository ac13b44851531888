# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The thresholds of a model in training: those of the configuration, or the best ones on held-out images."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from ciae_ros.core.coco_panoptic import image_folder_of
from ciae_ros.inference import Calibration, CategorySet, Checkpoint, InferenceSettings, Predictor
from training.config import TrainingConfig
from training.data.sample import DataError
from training.engine.builders import calibration_annotations
from training.engine.state import TrainingState
from training.evaluation.calibration import calibrate


@dataclass(frozen=True)
class Thresholds:
    """Thresholds, and the images on which they were chosen."""

    settings: InferenceSettings
    calibration: Calibration | None = None


def build_predictor(
    config: TrainingConfig, state: TrainingState, categories: CategorySet, device: torch.device
) -> Predictor:
    """Build a predictor of the present model with the thresholds of the configuration."""
    # A predictor folds batch normalisations and therefore needs a copy.
    model = copy.deepcopy(state.evaluated_model)
    return Predictor(Checkpoint(config.name, model, categories, "in training"), str(device), settings=config.inference)


def choose_thresholds(config: TrainingConfig, predictor: Predictor) -> Thresholds:
    """Choose the thresholds on the images that `data.calibration_images` holds out, if any.

    Raises:
        DataError: one of the images or its annotation cannot be read.
        OSError: the outputs of the network cannot be stored.
    """
    annotations = calibration_annotations(config.data)
    if annotations is None:
        return Thresholds(config.inference)
    images = config.data.train_images or image_folder_of(config.data.train)
    try:
        result = calibrate(predictor, annotations, images)
    except ValueError as error:
        raise DataError(f"calibration: {error}") from None
    return Thresholds(result.after, result.calibration)
