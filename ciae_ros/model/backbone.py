# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Backbones and the feature pyramid P2 to P7 (Sec. IV-A)."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any

import torchvision
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from ciae_ros.model.config import TIMM_PREFIX, ModelConfig
from ciae_ros.model.layers import DeformableConv2d, FrozenBatchNorm2d
from ciae_ros.model.strides import FEATURE_STRIDES

FIXED_SIZE_BY_DEFAULT = ("swin_", "swinv2_")
"""Prefixes of timm models that accept only images of the size of their pretraining unless created for any size."""


class ResNetFeatures(nn.Module):
    """torchvision's ResNet or ResNeXt without the classifier, compatible with torchvision's state dicts."""

    def __init__(self, name: str, deformable_stages: int) -> None:
        super().__init__()
        resnet = torchvision.models.get_model(name, weights=None, norm_layer=FrozenBatchNorm2d)
        self.conv1, self.bn1, self.relu, self.maxpool = resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4
        self.channels = (256, 512, 1024, 2048)
        for layer in (self.layer4, self.layer3, self.layer2)[:deformable_stages]:
            for block in layer:
                block.conv2 = DeformableConv2d(block.conv2)

    def stages(self) -> list[list[nn.Module]]:
        """Return the layers of the stem, and of the stages that end at strides 4, 8, 16 and 32."""
        return [[self.conv1, self.bn1], [self.layer1], [self.layer2], [self.layer3], [self.layer4]]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to C2, C3, C4, C5 at strides 4, 8, 16, 32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        features = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return features


class TimmFeatures(nn.Module):
    """A timm model that returns features at strides 4, 8, 16 and 32."""

    def __init__(self, name: str, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        # Imported here because a robot that runs a ResNet does not need timm.
        import timm  # noqa: PLC0415

        self.name = name
        options: dict[str, Any] = {"features_only": True, "pretrained": False}
        if name.startswith(FIXED_SIZE_BY_DEFAULT):
            options["strict_img_size"] = False
        if drop_path_rate:
            options["drop_path_rate"] = drop_path_rate
        try:
            strides = timm.create_model(name, **options).feature_info.reduction()  # type: ignore[union-attr,operator]
            indices = [strides.index(stride) for stride in FEATURE_STRIDES]
        except (RuntimeError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f"timm has no model {name!r} with features at strides {FEATURE_STRIDES}: {error}"
            ) from None
        self.body = timm.create_model(name, out_indices=indices, **options)
        self.channels = tuple(self.body.feature_info.channels())  # type: ignore[union-attr,operator]
        self._channels_last = getattr(self.body, "output_fmt", "NCHW") == "NHWC"

    def stages(self) -> list[list[nn.Module]]:
        """Return the layers of the stem, and of the stages that end at strides 4, 8, 16 and 32.

        Raises:
            ValueError: the structure of the model does not show where its stages end.
        """
        modules: list[str] = self.body.feature_info.module_name()  # type: ignore[union-attr,operator]
        container, is_nested, _ = modules[0].partition(".")
        layers: list[tuple[str, nn.Module]] = []
        for name, layer in self.body.named_children():
            # Some of timm's wrappers keep the sequence of stages, others make each stage a child of their own.
            is_sequence = bool(is_nested) and name == container
            layers += [(f"{name}_{n}", part) for n, part in layer.named_children()] if is_sequence else [(name, layer)]
        names = [name for name, _ in layers]
        try:
            ends = [names.index(module.replace(".", "_")) + 1 for module in modules]
        except ValueError:
            raise ValueError(f"timm does not state where the stages of {self.name} end") from None
        first = next(index for index, name in enumerate(names) if name.startswith(container))
        return [[layer for _, layer in layers[start:end]] for start, end in pairwise([0, first, *ends])]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to C2, C3, C4, C5 at strides 4, 8, 16, 32."""
        features = self.body(x)
        return [each.permute(0, 3, 1, 2) for each in features] if self._channels_last else features


def build_backbone(config: ModelConfig) -> ResNetFeatures | TimmFeatures:
    """Build the configured backbone with random weights."""
    if config.backbone.startswith(TIMM_PREFIX):
        return TimmFeatures(config.backbone.removeprefix(TIMM_PREFIX), config.drop_path_rate)
    return ResNetFeatures(config.backbone, config.deformable_stages)


class FeaturePyramid(nn.Module):
    """FPN (reference [36] of the paper) with P6 and P7 from stride-2 convolutions on P5, as in FCOS."""

    def __init__(self, in_channels: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        self.fpn = FeaturePyramidNetwork(
            list(in_channels), out_channels, extra_blocks=LastLevelP6P7(out_channels, out_channels)
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map C2 to C5 to P2 to P7 with shapes (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        return list(self.fpn(OrderedDict((str(i), feature) for i, feature in enumerate(features))).values())
