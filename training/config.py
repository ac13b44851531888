# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Configuration of a training run: a YAML file, which may extend another one, and overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError, model_validator

from ciae_ros.core.text_file import read_text
from ciae_ros.inference import InferenceSettings
from ciae_ros.model import PRESETS, ModelConfig
from training.data.augmentation import Augmentation
from training.losses.criterion import LossConfig
from training.losses.detection_config import DetectionLossConfig
from training.losses.image_queries import EmbeddingLossConfig
from training.losses.memory_update import MemoryConfig

REFERENCE_BATCH_SIZE = 16
"""Batch size of all processes together for which learning rate and iterations are given (Sec. V-C)."""


class ConfigError(ValueError):
    """An invalid configuration; each line of the message names a key and what is wrong with it."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MixedData(_Section):
    """A data set that is mixed into the training data."""

    train: Path
    """JSON file in COCO's panoptic format, with the categories of `data.train`."""
    images: Path | None = None
    """Folder of the images; by default as in COCO."""
    share: float = Field(gt=0, lt=1)
    """Share of its images in the batches."""


class DataConfig(_Section):
    """Training and validation data in COCO's panoptic format."""

    train: Path
    """JSON file; its PNGs are in the folder of the same name next to it."""
    train_images: Path | None = None
    """Folder of the images; by default as in COCO, ROOT/X for ROOT/annotations/panoptic_X.json."""
    mix: tuple[MixedData, ...] = ()
    """Further data sets with the same categories. The rest of the batches consists of images of `train`."""
    val: Path | None = None
    """JSON file of the validation data; without it, training does not validate."""
    val_images: Path | None = None
    max_images: PositiveInt | None = None
    """Maximum number of training images; the first ones are used."""
    calibration_images: PositiveInt | None = None
    """Number of these images, the last ones, that the model is not trained on. Before each validation and at the end,
    the thresholds with the highest PQ on them replace `inference` (`training.evaluation.calibration`)."""
    workers: int = Field(default=4, ge=0)
    """Worker processes that decode and augment, for each training process; 0: none."""
    skip_unreadable: bool = False
    """Replace an unreadable image by the next one, and count it, instead of stopping."""

    @model_validator(mode="after")
    def _shares_leave_a_rest(self) -> DataConfig:
        if not sum(one.share for one in self.mix) < 1:
            raise ValueError("the shares of mix must leave a rest for train: their sum must be below 1")
        return self


class OptimizationConfig(_Section):
    """Optimiser and schedule, for a batch size of 16; other batch sizes scale rate and iterations linearly."""

    iterations: PositiveInt = 90_000
    batch_size: PositiveInt = 16
    """Images of an iteration over all processes."""
    scale_with_batch: bool = True
    """Multiply the learning rate and 1 - lambda of the memory (Eq. 13) by batch_size / 16, and divide iterations,
    milestones and warm-up by it."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(default=0.01, gt=0)
    backbone_rate: float = Field(default=1.0, ge=0)
    """Factor on the backbone's learning rate."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Further factor on the learning rate of the backbone's last stage, applied twice to the stage before it, and so on
    down to the stem."""
    schedule: Literal["steps", "polynomial"] = "steps"
    """Multiply by 0.1 at each milestone, or decay to zero as (1 - t / T) ** 0.9."""
    milestones: tuple[PositiveInt, ...] = (60_000, 80_000)
    warmup_iterations: int = Field(default=500, ge=0)
    """Iterations of linear warm-up from a thousandth of the rate (not in the paper; detectron's default)."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_clipping: float | None = Field(default=None, gt=0)
    """Maximum norm of the gradient."""
    autocast: Literal["auto", "none", "bf16", "fp16"] = "none"
    """Precision of the network's forward pass; losses are always computed in float32. auto: bf16 on a CPU that has
    instructions for it, where it is faster, else none."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then evaluated and exported."""
    frozen_stages: int = Field(default=2, ge=0, le=5)
    """Frozen stages of the backbone: 1 is the stem, 2 also the stage at stride 4 (a ResNet's layer1, as in RetinaNet),
    up to 5 for all."""
    frozen_batch_norm: bool = True
    """Keep the pretrained batch normalisations of the backbone; those of a ResNet are always frozen."""


class TrainingConfig(_Section):
    """Configuration of a training run."""

    name: str
    """Human-readable name, published with the results of the model."""
    model: dict[str, Any] = Field(default_factory=dict)
    """`preset` (one of ciae_ros.model.PRESETS, by default r50_800), and fields of `ModelConfig` that override it; the
    numbers of classes come from the data set."""
    pretrained: str | None = "imagenet"
    """Weights of the backbone (see `load_pretrained_backbone`); none: random."""
    initial_checkpoint: Path | None = None
    """Checkpoint (.safetensors) of the same architecture to fine-tune; with other categories, all layers that fit are
    loaded."""
    data: DataConfig
    augmentation: Augmentation = Augmentation()
    optimization: OptimizationConfig = OptimizationConfig()
    embedding_loss: EmbeddingLossConfig = EmbeddingLossConfig()
    detection_loss: DetectionLossConfig = DetectionLossConfig()
    auxiliary_semantic_weight: float = Field(default=0.5, gt=0)
    """Weight of the loss of models with `auxiliary_semantics` (`ModelConfig`)."""
    memory: MemoryConfig = MemoryConfig()
    inference: InferenceSettings = InferenceSettings()
    """Thresholds for validation, which become defaults of the trained model; see also `data.calibration_images`."""
    seed: int = 0
    device: str = "auto"
    """"cpu", "cuda", or "auto": CUDA if available, else the CPU."""
    checkpoint_every: PositiveInt = 1000
    """Iterations between checkpoints."""
    evaluate_every: PositiveInt | None = 10_000
    """Iterations between validations; only with `data.val`."""
    log_every: PositiveInt = 20
    """Iterations between logged scalars."""
    pictures_every: PositiveInt | None = 1000
    """Iterations between logged images."""

    @model_validator(mode="after")
    def _model_can_be_built(self) -> TrainingConfig:
        self.model_for(1, 1)
        return self

    @property
    def losses(self) -> LossConfig:
        """Return the options of all losses."""
        return LossConfig(self.embedding_loss, self.detection_loss, self.auxiliary_semantic_weight)

    def model_for(self, num_stuff: int, num_things: int) -> ModelConfig:
        """Return the configuration of the network for the numbers of classes of a data set.

        Raises:
            ValueError: the preset, a field or a value is invalid.
        """
        fields = dict(self.model)
        preset = fields.pop("preset", "r50_800")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
        classes = {"num_stuff_classes": num_stuff, "num_thing_classes": num_things}
        values = PRESETS[preset].to_dict() | fields | classes
        try:
            return TypeAdapter(ModelConfig).validate_python(values, extra="forbid")
        except ValidationError as error:
            raise ValueError(_faults(error)) from None


def load_config(path: Path, overrides: list[str]) -> TrainingConfig:
    """Read and validate a YAML file.

    Args:
        path: path of the file. Its key `base` may name another file, relative to it, that it extends.
        overrides: key=value each, with a dotted key and a YAML value, as in "optimization.batch_size=8".

    Raises:
        ConfigError: a file is missing or not YAML, a key is unknown, or a value is invalid.
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
        raise ConfigError(f"{path}: {_faults(error, 'model')}") from None


def _faults(error: ValidationError, key_of_all: str = "") -> str:
    """Return the invalid keys, each with what is wrong with it; `key_of_all` is what has no key of its own."""
    faults = (
        (".".join(map(str, one["loc"])) or key_of_all, one["msg"].removeprefix("Value error, "))
        for one in error.errors()
    )
    return "; ".join(f"{key}: {message}" if key else message for key, message in faults)


def _read(path: Path, extended_by: tuple[Path, ...]) -> dict[str, Any]:
    """Read a file and merge it into its base; `extended_by` are the files that extend it."""
    if path.resolve() in extended_by:
        raise ConfigError(f"{path}: base: the file extends itself")
    try:
        values = yaml.safe_load(read_text(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a mapping of keys")
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigError(f"{path}: base: {base!r} is not the name of a file")
    return _merge(_read(path.parent / base, (*extended_by, path.resolve())), values)


def _merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge `changes` into `values` recursively."""
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
