# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a configuration describes, built: device, data set, model and optimiser."""

from __future__ import annotations

from pathlib import Path

import torch

from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.inference import CategorySet
from ciae_ros.model import CIAE
from training.config import ConfigError, TrainingConfig
from training.data.dataset import PanopticDataset
from training.data.sample import DataError
from training.initial_weights import load_initial_weights
from training.optimization import build_optimizer, freeze
from training.training_state import TrainingState
from training.weight_average import WeightAverage

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions of the forward pass by their names."""


def choose_device(name: str) -> torch.device:
    """The device of this process: "auto" is CUDA where it is, and "cuda" the one that `torchrun` has given it.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError("device: there is no CUDA device; leave it out, or say device=cpu")
    try:
        return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: {name!r} is none of auto, cpu, cuda and cuda:N") from None


def build_dataset(config: TrainingConfig) -> PanopticDataset:
    """The training images with their augmentation.

    Raises:
        DataError: the annotations are in another format, or of no image.
        OSError: they cannot be read.
    """
    data = config.data
    annotations = load_annotations(data.train)
    if data.max_images is not None:
        annotations = annotations.first(data.max_images)
    classes = len(annotations.categories.stuff), len(annotations.categories.things)
    transform = config.augmentation.build(config.model_for(*classes).pixel_mean)
    return PanopticDataset(
        annotations, data.train_images or image_folder_of(data.train), transform, data.skip_unreadable
    )


def build_state(config: TrainingConfig, categories: CategorySet, device: torch.device) -> TrainingState:
    """The model with its initial weights, on the device, and all that its training keeps.

    Raises:
        ConfigError: the model cannot be built, or the checkpoint to fine-tune is of another one.
        CheckpointError: that checkpoint cannot be read.
        PretrainedError: the backbone's weights cannot be had.
    """
    torch.manual_seed(config.seed)
    try:
        model = CIAE(config.model_for(len(categories.stuff), len(categories.things)))
    except ValueError as error:
        raise ConfigError(f"model: {error}") from None
    load_initial_weights(model, config)
    freeze(model, config.optimization)
    model.to(device).to(memory_format=torch.channels_last)
    return TrainingState(
        model=model,
        optimizer=build_optimizer(model, config.optimization),
        scaler=torch.amp.GradScaler(device.type, enabled=config.optimization.autocast == "fp16"),
        average=None if config.optimization.ema is None else WeightAverage(model, config.optimization.ema),
    )


def load_annotations(path: Path) -> PanopticAnnotations:
    """One split's annotations.

    Raises:
        DataError: the file is in another format.
        OSError: it cannot be read.
    """
    try:
        return PanopticAnnotations.load(path)
    except ValueError as error:
        raise DataError(str(error)) from None
