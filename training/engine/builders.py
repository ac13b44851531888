# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Builders of the objects that a configuration describes: device, data set, model and optimiser."""

from __future__ import annotations

from pathlib import Path

import torch

from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.inference import CategorySet
from ciae_ros.inference.device_choice import default_device
from ciae_ros.inference.loading.named_models import AUTO
from ciae_ros.model import CIAE
from training.config import ConfigError, DataConfig, TrainingConfig
from training.data.dataset import PanopticDataset, TrainingImages
from training.data.mixture import MixedDataset
from training.data.sample import DataError
from training.engine.ema import WeightAverage
from training.engine.memory_initialization import spread_directions
from training.engine.optimization import build_optimizer, freeze
from training.engine.pretrained import load_initial_weights
from training.engine.state import TrainingState


def choose_device(name: str) -> torch.device:
    """Return the device of this process; "auto" is CUDA if available, and "cuda" the device assigned by `torchrun`.

    Raises:
        ConfigError: the device does not exist.
    """
    if name == AUTO:
        name = default_device()
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError("device: no CUDA device is available; remove it, or set device=cpu")
    try:
        return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: {name!r} must be one of auto, cpu, cuda and cuda:N") from None


def build_dataset(config: TrainingConfig) -> TrainingImages:
    """Build the data set of the training images with their augmentation.

    Raises:
        DataError: the annotations have another format, contain no image, or differ in their categories.
        ConfigError: no image is left for training.
        OSError: the annotations cannot be read.
    """
    data = config.data
    annotations, _ = _split(data)
    classes = len(annotations.categories.stuff), len(annotations.categories.things)
    transform = config.augmentation.build(config.model_for(*classes).pixel_mean)
    first = PanopticDataset(
        annotations, data.train_images or image_folder_of(data.train), transform, data.skip_unreadable
    )
    if not data.mix:
        return first
    others = [
        PanopticDataset(
            load_annotations(one.train), one.images or image_folder_of(one.train), transform, data.skip_unreadable
        )
        for one in data.mix
    ]
    shares = [one.share for one in data.mix]
    return MixedDataset([first, *others], [1 - sum(shares), *shares])


def build_state(config: TrainingConfig, categories: CategorySet, device: torch.device) -> TrainingState:
    """Build the model with its initial weights on the device, and the rest of the training state.

    Raises:
        ConfigError: the model is invalid, or the checkpoint to fine-tune has another architecture.
        CheckpointError: the checkpoint cannot be read.
        PretrainedError: the backbone's weights cannot be obtained.
    """
    torch.manual_seed(config.seed)
    try:
        model = CIAE(config.model_for(len(categories.stuff), len(categories.things)))
    except ValueError as error:
        raise ConfigError(f"model: {error}") from None
    if config.memory.initialization == "spread":
        model.memory.vectors.copy_(spread_directions(*model.memory.vectors.shape))
    load_initial_weights(model, config)
    try:
        freeze(model, config.optimization)
    except ValueError as error:
        raise ConfigError(f"optimization.frozen_stages: {error}; set it to 0") from None
    model.to(device).to(memory_format=torch.channels_last)
    try:
        optimizer = build_optimizer(model, config.optimization)
    except ValueError as error:
        raise ConfigError(f"optimization.layer_decay: {error}; set it to 1") from None
    return TrainingState(
        model=model,
        optimizer=optimizer,
        scaler=torch.amp.GradScaler(device.type, enabled=config.optimization.autocast == "fp16"),
        average=None if config.optimization.ema is None else WeightAverage(model, config.optimization.ema),
    )


def calibration_annotations(data: DataConfig) -> PanopticAnnotations | None:
    """Load the annotations of the images that are held out of the training, if any.

    Raises:
        DataError: the annotations have another format.
        OSError: the annotations cannot be read.
    """
    return _split(data)[1] if data.calibration_images else None


def _split(data: DataConfig) -> tuple[PanopticAnnotations, PanopticAnnotations]:
    """Load the annotations of the images to train on, and of those that are held out."""
    annotations = load_annotations(data.train)
    if data.max_images is not None:
        annotations = annotations.first(data.max_images)
    held_out = data.calibration_images or 0
    num_trained = len(annotations.annotations) - held_out
    if held_out and num_trained < 1:
        raise ConfigError(
            f"data.calibration_images: {held_out} of {len(annotations.annotations)} images leave none for training"
        )
    return annotations.part(0, num_trained), annotations.part(num_trained)


def load_annotations(path: Path) -> PanopticAnnotations:
    """Load the annotations of a split.

    Raises:
        DataError: the file has another format.
        OSError: the file cannot be read.
    """
    try:
        return PanopticAnnotations.load(path)
    except ValueError as error:
        raise DataError(str(error)) from None
