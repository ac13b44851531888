# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Backbones: stages, precision under autocast, image sizes; and the alignment of the box embeddings of all levels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d as TorchvisionFrozenBatchNorm2d

from ciae_ros.inference.networks.fold_batch_norm import fold_batch_norm
from ciae_ros.model import CIAE, PRESETS
from ciae_ros.model.backbone import ResNetFeatures, TimmFeatures
from ciae_ros.model.embedding_branch import EmbeddingBranch
from ciae_ros.model.layers import FrozenBatchNorm2d

LIGHT = PRESETS["light_512"]
TIMM_MODELS = (
    "tf_efficientnet_lite0",
    "resnet50",
    "regnetx_040",
    "convnext_tiny",
    "swin_tiny_patch4_window7_224",
    "mobilenetv4_conv_small",
)


def backbone(name: str) -> ResNetFeatures | TimmFeatures:
    return ResNetFeatures("resnet50", 0) if name == "torchvision" else TimmFeatures(name)


@pytest.mark.parametrize("name", ["torchvision", *TIMM_MODELS])
def test_stages_end_at_the_strides_of_the_features(name: str) -> None:
    """With all parameters of the later stages set to zero, a feature still is what it was."""
    model = backbone(name).eval()
    stages = model.stages()
    assert len(stages) == 5
    parameters = [parameter for stage in stages for layer in stage for parameter in layer.parameters()]
    assert len({id(parameter) for parameter in parameters}) == len(parameters)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        before = model(image)
        for last in (4, 3, 2, 1):
            for parameter in (parameter for layer in stages[last] for parameter in layer.parameters()):
                parameter.fill_(0.001)
            after = model(image)
            assert not torch.equal(after[last - 1], before[last - 1])
            assert all(torch.equal(a, b) for a, b in zip(after[: last - 1], before, strict=False))


@pytest.mark.parametrize("name", ["resnet50", "regnetx_040", "convnext_tiny", "tf_efficientnet_lite0"])
def test_blocks_are_skipped_in_training_with_a_probability_that_rises(name: str) -> None:
    model = TimmFeatures(name, drop_path_rate=0.4)
    rates = [module.drop_prob for module in model.modules() if isinstance(module, DropPath)]
    assert rates == sorted(rates) and 0.3 < rates[-1] < 0.41 and rates[0] < 0.05
    image = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        for module in model.modules():  # Initially, many residual blocks multiply by 0.
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(1)
        plain = TimmFeatures(name)
        plain.load_state_dict(model.state_dict())
        assert torch.equal(model.eval()(image)[-1], plain.eval()(image)[-1])
        assert not torch.equal(model.train()(image)[-1], model(image)[-1])


def test_stochastic_depth_needs_a_backbone_of_timm() -> None:
    with pytest.raises(ValueError, match="drop_path_rate needs a timm backbone"):
        replace(PRESETS["r50_800"], drop_path_rate=0.1)
    with pytest.raises(ValueError, match="drop_path_rate must be at least 0 and below 1"):
        replace(LIGHT, drop_path_rate=1.0)


def test_a_model_whose_stages_timm_does_not_state() -> None:
    with pytest.raises(ValueError, match="does not state where the stages of hrnet_w18 end"):
        TimmFeatures("hrnet_w18").stages()


@pytest.mark.parametrize("size", [(96, 160), (256, 320)])
def test_swin_accepts_images_of_any_size(size: tuple[int, int]) -> None:
    model = CIAE(replace(LIGHT, backbone="timm/swin_tiny_patch4_window7_224")).eval()
    assert fold_batch_norm(model.backbone) == 0
    with torch.inference_mode():
        outputs = model(torch.randn(1, 3, *size))
    assert outputs.embedding.shape == (1, 32, size[0] // 4, size[1] // 4)


@pytest.mark.parametrize("name", ["torchvision", "resnet50", "tf_efficientnet_lite0"])
def test_all_of_a_backbone_is_in_bf16_under_autocast(name: str) -> None:
    model, types = backbone(name), []
    for module in model.modules():
        if isinstance(module, (nn.ReLU, nn.MaxPool2d, TorchvisionFrozenBatchNorm2d)):
            module.register_forward_hook(lambda _module, _inputs, output: types.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        features = model(torch.randn(1, 3, 64, 64))
    assert {*types, *(feature.dtype for feature in features)} == {torch.bfloat16}


def test_frozen_batch_norm_is_torchvisions() -> None:
    ours, theirs = FrozenBatchNorm2d(5), TorchvisionFrozenBatchNorm2d(5)
    for buffer in ours.buffers():
        buffer.uniform_(0.5, 2.0)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 3, 4)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("size", [(800, 1216), (352, 480), (224, 288)])
def test_box_embeddings_of_every_level_stay_where_they_are(size: tuple[int, int]) -> None:
    """The centroid of a single cell of a level is at the location that the cell proposes from, to a pixel."""
    branch = only_box_embeddings()
    shapes = [(math.ceil(size[0] / stride), math.ceil(size[1] / stride)) for stride in (8, 16, 32, 64, 128)]
    for level, stride in enumerate((8, 16, 32, 64, 128)):
        height, width = shapes[level]
        y, x = height // 2, width // 2
        if y in (0, height - 1) or x in (0, width - 1):
            continue  # The interpolation cuts off or repeats cells at the border.
        maps = [torch.zeros(1, 32, *shape) for shape in shapes]
        maps[level][0, 0, y, x] = 1
        found = embed(branch, maps, size)[0, 0]
        rows, columns = ((torch.arange(n) * 4 + 2.0) for n in found.shape)
        centre_y = float((found.sum(dim=1) * rows).sum() / found.sum())
        centre_x = float((found.sum(dim=0) * columns).sum() / found.sum())
        assert centre_y == pytest.approx(y * stride + stride / 2, abs=1.0)
        assert centre_x == pytest.approx(x * stride + stride / 2, abs=1.0)


def only_box_embeddings() -> EmbeddingBranch:
    """A branch that returns the sum of the box embeddings of all levels."""
    branch = EmbeddingBranch(LIGHT).eval()
    nn.init.zeros_(branch.from_pyramid.weight)
    assert branch.from_boxes is not None
    nn.init.dirac_(branch.from_boxes.weight)
    return branch


@torch.inference_mode()
def embed(branch: EmbeddingBranch, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
    pyramid = [torch.zeros(1, LIGHT.fpn_channels, size[0] // stride, size[1] // stride) for stride in (4, 8, 16, 32)]
    return branch(pyramid, maps)[0]
