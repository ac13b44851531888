# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The configuration of a training run: one YAML file, which may build upon another, and overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError, model_validator

from ciae_ros.inference import InferenceSettings
from ciae_ros.model import PRESETS, ModelConfig
from training.data.augmentation import Augmentation
from training.losses.embedding_loss import EmbeddingLossConfig
from training.memory_update import MemoryConfig

REFERENCE_BATCH_SIZE = 16
"""The batch (of all processes together) that learning rate and iterations are given for (Sec. V-C)."""


class ConfigError(ValueError):
    """A configuration that cannot be used; each line of the message names a key and what is wrong with it."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """What to train and validate on, in COCO's panoptic format."""

    train: Path
    """JSON file; its PNGs are in the folder of the same name beside it."""
    train_images: Path | None = None
    """Folder of the images; by default COCO's layout: ROOT/annotations/panoptic_X.json has ROOT/X."""
    val: Path | None = None
    """JSON file to evaluate on; none: the checkpoint of the last iteration is the result, unseen."""
    val_images: Path | None = None
    max_images: PositiveInt | None = None
    """Train on so many of the annotated images only, the first ones."""
    workers: int = Field(default=4, ge=0)
    """Processes that decode and augment, for each training process; 0: none."""
    skip_unreadable: bool = False
    """Replace an image that cannot be read by the next, and count it, instead of stopping."""


class OptimizationConfig(_Section):
    """The schedule for a batch of 16; another batch size scales rate and iterations linearly."""

    iterations: PositiveInt = 90_000
    batch_size: PositiveInt = 16
    """Images of an iteration, of all processes together."""
    scale_with_batch: bool = True
    """Multiply the rate and divide iterations, milestones and warm-up by batch_size / 16."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(default=0.01, gt=0)
    backbone_rate: float = Field(default=1.0, ge=0)
    """Factor on the backbone's learning rate."""
    schedule: Literal["steps", "polynomial"] = "steps"
    """Multiply by 0.1 at each milestone, or fall to zero as (1 - t / T) ** 0.9."""
    milestones: tuple[PositiveInt, ...] = (60_000, 80_000)
    warmup_iterations: int = Field(default=500, ge=0)
    """The rate rises linearly from a thousandth (the paper does not say; detectron's default)."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_clipping: float | None = Field(default=None, gt=0)
    """Bound on the gradients' norm."""
    autocast: Literal["none", "bf16", "fp16"] = "none"
    """Precision of the network's forward pass; losses are always float32."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is evaluated and exported."""
    frozen_stages: int = Field(default=2, ge=0, le=5)
    """Of a ResNet: 1 is the stem, 2 the stem and layer1 (RetinaNet's practice). A timm model has its stem only."""
    frozen_batch_norm: bool = True
    """Keep the backbone's batch normalisations as they were pretrained. A ResNet's always are."""


class TrainingConfig(_Section):
    """All of it."""

    name: str
    """For people; published with the results of the model."""
    model: dict[str, Any] = Field(default_factory=dict)
    """`preset` (one of ciae_ros.model.PRESETS, r50_800 if left out), and fields of `ModelConfig` that differ from it;
    the numbers of classes are the data set's."""
    pretrained: str | None = "imagenet"
    """Weights of the backbone (see `load_pretrained_backbone`), or none."""
    initial_checkpoint: Path | None = None
    """A checkpoint (.safetensors) of the same model to fine-tune; of another category set all that fits is taken."""
    data: DataConfig
    augmentation: Augmentation = Augmentation()
    optimization: OptimizationConfig = OptimizationConfig()
    embedding_loss: EmbeddingLossConfig = EmbeddingLossConfig()
    memory: MemoryConfig = MemoryConfig()
    inference: InferenceSettings = InferenceSettings()
    """Thresholds for validation, which become the trained model's defaults."""
    seed: int = 0
    device: str = "auto"
    """"cpu", "cuda", or "auto": CUDA where it is."""
    checkpoint_every: PositiveInt = 1000
    """Iterations."""
    evaluate_every: PositiveInt | None = 10_000
    """Iterations; only with `data.val`."""
    log_every: PositiveInt = 20
    """Iterations between the scalars."""
    pictures_every: PositiveInt | None = 1000
    """Iterations between the pictures of a training image."""

    @model_validator(mode="after")
    def _model_can_be_built(self) -> TrainingConfig:
        self.model_for(1, 1)
        return self

    def model_for(self, num_stuff: int, num_things: int) -> ModelConfig:
        """The network's configuration for a data set with so many classes.

        Raises:
            ValueError: there is no such preset, field or value.
        """
        fields = dict(self.model)
        preset = fields.pop("preset", "r50_800")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ValueError(f"there is no preset {preset!r}, but {', '.join(PRESETS)}")
        classes = {"num_stuff_classes": num_stuff, "num_thing_classes": num_things}
        values = PRESETS[preset].to_dict() | fields | classes
        try:
            return TypeAdapter(ModelConfig).validate_python(values, extra="forbid")
        except ValidationError as error:
            raise ValueError("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())) from None


def load_config(path: Path, overrides: list[str]) -> TrainingConfig:
    """Read a YAML file and check it.

    Args:
        path: of the file. Its key `base` may name another (relative to it) that it changes.
        overrides: "key=value" each, the key with dots, the value as in YAML: "optimization.batch_size=8".

    Raises:
        ConfigError: a file is missing or no YAML, a key is unknown, or a value is wrong.
    """
    values = _read(path, ())
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"{override!r} is not key=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"{override}: the value is not YAML") from None
        _merge(values, _nested(key.split("."), value))
    try:
        return TypeAdapter(TrainingConfig).validate_python(values)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, e['loc'])) or 'model'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{path}: " + "\n".join(lines)) from None


def _read(path: Path, built_upon: tuple[Path, ...]) -> dict[str, Any]:
    """A file's keys on top of those of its base; `built_upon` are the files whose base it is."""
    if path.resolve() in built_upon:
        raise ConfigError(f"{path}: base: it builds upon itself")
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys")
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigError(f"{path}: base: {base!r} is not the name of a file")
    return _merge(_read(path.parent / base, (*built_upon, path.resolve())), values)


def _merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Put `changes` into `values`, dictionaries into dictionaries."""
    for key, change in changes.items():
        if isinstance(change, dict) and isinstance(values.get(key), dict):
            _merge(values[key], change)
        else:
            values[key] = change
    return values


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return dict(value)
