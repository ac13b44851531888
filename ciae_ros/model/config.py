# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Configuration of the network, with all choices that the paper makes or ablates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

RESNET_BACKBONES = ("resnet50", "resnet101", "resnext101_32x8d", "resnext101_64x4d")
TIMM_PREFIX = "timm/"

MemoryOfThings = Literal["merged", "per_class", "none"]
InstanceCategory = Literal["detector", "embedding"]

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of a CIAE network; the defaults are those of the paper ("Ours-800, ResNet-50-FPN" of Table I).

    Raises:
        ValueError: a field has an invalid value, or two fields contradict each other.
    """

    num_stuff_classes: int = 53
    """C^st of Sec. III-A; 53 in COCO panoptic."""
    num_thing_classes: int = 80
    """C^th of Sec. III-A; 80 in COCO panoptic."""

    backbone: str = "resnet50"
    """One of RESNET_BACKBONES, or "timm/NAME" for any timm model with features at strides 4, 8, 16 and 32."""
    deformable_stages: int = 0
    """Number of a ResNet's last stages with deformable 3x3 convolutions; 3 in the "-DCN" rows of Table I."""
    fpn_channels: int = 256
    """Channels of P2 to P7 and of the proposal head's towers."""
    head_convs: int = 4
    """Convolutions in each of the proposal head's two towers (Sec. IV-A)."""
    embedding_channels: int = 128
    """Channels of the embedding branch, as in Panoptic FPN's semantic branch."""
    embedding_dim: int = 32
    """Dimensions of the pixel embedding (Table X: 16, 24, 32, 48)."""
    coord_conv: bool = True
    """CoordConv in the convolutions on P5 (Table VI)."""
    box_embedding: bool = True
    """Fuse the proposal head's box embeddings into the embedding map (Table VI)."""

    centerness_branch: bool = True
    """Multiply class probabilities by a centre-ness, as in FCOS; without it, scores are their square roots alone."""
    auxiliary_semantics: bool = False
    """Predict the category of each pixel from the embedding branch's features, in training only, for a loss of its own
    (not in the paper)."""
    drop_path_rate: float = 0.0
    """Probability, in training, with which the last residual block of a timm backbone is skipped; it rises linearly
    from 0 at the first (stochastic depth; not in the paper)."""

    semantic_branch: bool = False
    """Predict stuff with a separate semantic branch instead of the embedding (Table III, "inconsistent")."""
    memory_of_things: MemoryOfThings = "merged"
    """Thing classes in the category memory: one vector for all, one per class, or none (Table IV)."""
    class_agnostic_detector: bool = False
    """Use a detector with a single class (Table IV, "CateNumD 2")."""
    instance_category: InstanceCategory = "detector"
    """Source of an instance's category (Table IV, rows "D" and "E")."""

    input_size: int = 800
    """Length in pixels to which the shorter side of an image is resized (Sec. V-C)."""
    max_input_size: int = 1333
    """Maximum longer side in pixels; the aspect ratio is preserved."""
    pixel_mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of R, G and B in 0..255, as used to pretrain the backbone."""
    pixel_std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.backbone not in RESNET_BACKBONES and not self.backbone.startswith(TIMM_PREFIX):
            raise ValueError(
                f"backbone must be one of {', '.join(RESNET_BACKBONES)} or timm/NAME, not {self.backbone!r}"
            )
        if not 0 <= self.deformable_stages <= 3:
            raise ValueError(f"deformable_stages must be 0 to 3, not {self.deformable_stages}")
        if not 0 <= self.drop_path_rate < 1:
            raise ValueError(f"drop_path_rate must be at least 0 and below 1, not {self.drop_path_rate}")
        if self.drop_path_rate and not self.backbone.startswith(TIMM_PREFIX):
            raise ValueError("drop_path_rate needs a timm backbone")
        if self.deformable_stages and self.backbone.startswith(TIMM_PREFIX):
            raise ValueError("deformable_stages needs a ResNet or ResNeXt backbone")
        for name in ("num_stuff_classes", "num_thing_classes", "head_convs", "embedding_dim", "input_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("fpn_channels", "embedding_channels"):
            if getattr(self, name) < 32 or getattr(self, name) % 32:
                raise ValueError(f"{name} must be a multiple of 32 (group normalisation), not {getattr(self, name)}")
        if self.max_input_size < self.input_size:
            raise ValueError(f"max_input_size {self.max_input_size} is below input_size {self.input_size}")
        if self.memory_of_things not in get_args(MemoryOfThings):
            raise ValueError(f"memory_of_things must be one of {get_args(MemoryOfThings)}")
        if self.instance_category not in get_args(InstanceCategory):
            raise ValueError(f"instance_category must be one of {get_args(InstanceCategory)}")
        if self.instance_category == "embedding" and self.memory_of_things != "per_class":
            raise ValueError('instance_category "embedding" needs memory_of_things "per_class"')
        if self.class_agnostic_detector and self.instance_category == "detector":
            raise ValueError('class_agnostic_detector needs instance_category "embedding"')

    @property
    def num_detector_classes(self) -> int:
        """Return the number of class logits; there is none for the background (sigmoid)."""
        return 1 if self.class_agnostic_detector else self.num_thing_classes

    @property
    def num_memory_vectors(self) -> int:
        """Return the number of vectors in the category memory, in the order of Sec. III-A: stuff classes first."""
        things = {"merged": 1, "per_class": self.num_thing_classes, "none": 0}[self.memory_of_things]
        return self.num_stuff_classes + things

    def at_input_size(self, input_size: int) -> ModelConfig:
        """Return the configuration for another `input_size`, with a proportional maximum of the longer side."""
        longest = round(self.max_input_size * input_size / self.input_size)
        return replace(self, input_size=input_size, max_input_size=max(input_size, longest))

    def to_dict(self) -> dict[str, Any]:
        """Convert the configuration to plain values, as stored in a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Create a configuration from the values of `to_dict`, also after a conversion to JSON.

        Raises:
            ValueError: a field is unknown, or a value is invalid.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown model configuration: {', '.join(unknown)}")
        typed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**typed)


PRESETS: dict[str, ModelConfig] = {
    # The six rows of Table I, in its order.
    "r50_512": ModelConfig(input_size=512, max_input_size=853),
    "r50_640": ModelConfig(input_size=640, max_input_size=1066),
    "r50_800": ModelConfig(),
    "r101_800": ModelConfig(backbone="resnet101"),
    "r101_dcn_800": ModelConfig(backbone="resnet101", deformable_stages=3),
    "x101_dcn_800": ModelConfig(backbone="resnext101_64x4d", deformable_stages=3),
    # For CPUs and small robots. Mean and scale are those of the ImageNet weights.
    "light_512": ModelConfig(
        backbone="timm/tf_efficientnet_lite0",
        fpn_channels=64,
        head_convs=2,
        embedding_channels=32,
        input_size=512,
        max_input_size=1024,
        pixel_mean=(127.0, 127.0, 127.0),
        pixel_std=(128.0, 128.0, 128.0),
    ),
}
