# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Backbones and the feature pyramid P2 to P7 (Sec. IV-A)."""

from __future__ import annotations

from collections import OrderedDict

import torchvision
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from ciae_ros.model.config import TIMM_PREFIX, ModelConfig
from ciae_ros.model.layers import DeformableConv2d

FEATURE_STRIDES = (4, 8, 16, 32)
PYRAMID_STRIDES = (4, 8, 16, 32, 64, 128)
SIZE_DIVISOR = 32
"""Input heights and widths must be multiples of this, so that P2 to P5 are aligned."""


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

    def __init__(self, name: str) -> None:
        super().__init__()
        # Imported here because a robot that runs a ResNet does not need timm.
        import timm  # noqa: PLC0415

        try:
            strides = timm.create_model(name, features_only=True, pretrained=False).feature_info.reduction()  # type: ignore[union-attr,operator]
            indices = [strides.index(stride) for stride in FEATURE_STRIDES]
        except (RuntimeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"timm has no model {name!r} with features at strides {FEATURE_STRIDES}: {error}"
            ) from None
        self.body = timm.create_model(name, features_only=True, pretrained=False, out_indices=indices)
        self.channels = tuple(self.body.feature_info.channels())  # type: ignore[union-attr,operator]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to C2, C3, C4, C5 at strides 4, 8, 16, 32."""
        return self.body(x)


def build_backbone(config: ModelConfig) -> ResNetFeatures | TimmFeatures:
    """Build the configured backbone with random weights."""
    if config.backbone.startswith(TIMM_PREFIX):
        return TimmFeatures(config.backbone.removeprefix(TIMM_PREFIX))
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
