# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The network: shapes, sizes, initialisation and options."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ciae_ros.model import CIAE, PRESETS, ModelConfig
from ciae_ros.model.backbone import ResNetFeatures
from ciae_ros.model.layers import DeformableConv2d

PARAMETERS_IN_MILLIONS = {
    "r50_512": 34.6,
    "r50_640": 34.6,
    "r50_800": 34.6,
    "r101_800": 53.6,
    "r101_dcn_800": 54.8,
    "x101_dcn_800": 97.5,
    "light_512": 3.5,
}
LIGHT = PRESETS["light_512"]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_have_their_number_of_parameters(preset: str) -> None:
    with torch.device("meta"):
        model = CIAE(PRESETS[preset])
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(PARAMETERS_IN_MILLIONS[preset], abs=0.06)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 160), (224, 32), (416, 544)])
def test_shapes_at_odd_multiples_of_the_stride(height: int, width: int) -> None:
    model = CIAE(LIGHT).eval()
    with torch.inference_mode():
        outputs = model(torch.randn(2, 3, height, width))
    assert outputs.embedding.shape == (2, 32, height // 4, width // 4)
    p3 = height // 8, width // 8
    sizes = [p3]
    for _ in range(4):
        sizes.append(tuple((side + 1) // 2 for side in sizes[-1]))
    assert [tuple(t.shape) for t in outputs.class_logits] == [(2, 80, *size) for size in sizes]
    assert [tuple(t.shape) for t in outputs.centerness] == [(2, 1, *size) for size in sizes]
    assert [tuple(t.shape) for t in outputs.box_distances] == [(2, 4, *size) for size in sizes]
    assert all((t > 0).all() for t in outputs.box_distances)


def test_resnet50_forward_and_deformable_forward() -> None:
    for config in (ModelConfig(), ModelConfig(deformable_stages=3)):
        with torch.inference_mode():
            outputs = CIAE(config).eval()(torch.randn(1, 3, 64, 96))
        assert outputs.embedding.isfinite().all()


def test_state_dict_of_torchvisions_resnet50_loads_and_gives_its_features() -> None:
    reference = torchvision.models.resnet50(weights=None).eval()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    for stages in (0, 3):
        backbone = ResNetFeatures("resnet50", deformable_stages=stages).eval()
        missing, unexpected = backbone.load_state_dict(reference.state_dict(), strict=False)
        assert all(".offset." in key for key in missing)
        assert all(key.startswith("fc.") or key.endswith("num_batches_tracked") for key in unexpected)
        image = torch.randn(1, 3, 64, 64)
        with torch.inference_mode():
            x = reference.maxpool(reference.relu(reference.bn1(reference.conv1(image))))
            for layer in (reference.layer1, reference.layer2, reference.layer3, reference.layer4):
                x = layer(x)
            torch.testing.assert_close(backbone(image)[-1], x, rtol=1e-4, atol=1e-3)


def test_deformable_convolution_by_sampling_equals_torchvisions_operator() -> None:
    for stride, groups in ((1, 1), (2, 1), (1, 4), (2, 4)):
        conv = DeformableConv2d(nn.Conv2d(8, 12, 3, stride=stride, padding=1, groups=groups, bias=False))
        nn.init.normal_(conv.offset.weight)
        x = torch.randn(2, 8, 11, 14)
        expected = torchvision.ops.deform_conv2d(x, conv.offset(x), conv.weight, stride=stride, padding=1)
        torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-4)


def test_class_scores_start_at_the_prior() -> None:
    with torch.inference_mode():
        outputs = CIAE(LIGHT).eval()(torch.randn(1, 3, 128, 128))
    assert outputs.class_logits[0].sigmoid().mean().item() == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize("option", [{"coord_conv": False}, {"box_embedding": False}, {"embedding_dim": 16}])
def test_options_of_tables_vi_and_x(option: dict[str, int]) -> None:
    full, other = CIAE(LIGHT).eval(), CIAE(replace(LIGHT, **option)).eval()
    assert sum(p.numel() for p in other.parameters()) < sum(p.numel() for p in full.parameters())
    with torch.inference_mode():
        assert other(torch.randn(1, 3, 64, 64)).embedding.shape[1] == option.get("embedding_dim", 32)


def test_coord_conv_sees_where_it_is() -> None:
    with torch.inference_mode():
        model = CIAE(replace(LIGHT, box_embedding=False)).eval()
        p5 = torch.ones(1, LIGHT.fpn_channels, 8, 8)
        inner = model.embedding_branch.p5(p5)[0, :, 24:40, 24:40]
    assert inner.std(dim=(1, 2)).max() > 1e-3


@pytest.mark.parametrize(("memory_of_things", "rows"), [("merged", 54), ("per_class", 133), ("none", 53)])
def test_category_memory_holds_unit_vectors_stuff_first(memory_of_things: str, rows: int) -> None:
    memory = CIAE(replace(LIGHT, memory_of_things=memory_of_things)).memory
    assert memory.vectors.shape == (rows, 32)
    assert memory.stuff.shape == (53, 32)
    assert len(memory.things) == rows - 53
    torch.testing.assert_close(memory.vectors.norm(dim=1), torch.ones(rows))
    assert "vectors" in memory.state_dict()


def test_any_timm_backbone_with_the_four_strides() -> None:
    model = CIAE(replace(LIGHT, backbone="timm/mobilenetv3_small_050")).eval()
    with torch.inference_mode():
        assert model(torch.randn(1, 3, 64, 64)).embedding.shape == (1, 32, 16, 16)


@pytest.mark.parametrize("name", ["timm/no_such_model", "timm/vit_tiny_patch16_224"])
def test_timm_models_without_the_strides_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="strides"):
        CIAE(replace(LIGHT, backbone=name))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "resnet18"}, "backbone"),
        ({"deformable_stages": 4}, "deformable_stages"),
        ({"backbone": "timm/resnet18", "deformable_stages": 1}, "ResNet"),
        ({"fpn_channels": 100}, "multiple of 32"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"max_input_size": 100}, "max_input_size"),
        ({"instance_category": "embedding"}, "per_class"),
        ({"class_agnostic_detector": True}, "embedding"),
        ({"memory_of_things": "some"}, "memory_of_things"),
    ],
)
def test_contradictory_configurations_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig(**fields)


def test_configuration_survives_json_and_unknown_fields_are_refused() -> None:
    assert ModelConfig.from_dict(json.loads(json.dumps(LIGHT.to_dict()))) == LIGHT
    with pytest.raises(ValueError, match="colour"):
        ModelConfig.from_dict({"colour": 1})


def test_network_exports_as_one_graph() -> None:
    program = torch.export.export(CIAE(LIGHT).eval(), (torch.randn(1, 3, 64, 96),))
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(image).embedding.shape, torch.Size((1, 32, 16, 24)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_deformable_convolutions_on_a_cuda_device_have_a_type_that_the_kernel_has(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    calls = []

    def kernel(x: Tensor, offset: Tensor, weight: Tensor, **options: int) -> Tensor:
        calls.append({x.dtype, offset.dtype, weight.dtype})
        return x.new_empty(x.shape[0], weight.shape[0], *offset.shape[2:])

    monkeypatch.setattr("ciae_ros.model.layers.deform_conv2d", kernel)
    torch.set_default_dtype(dtype)
    try:
        with FakeTensorMode(), torch.device("cuda"), torch.no_grad():
            output = DeformableConv2d(nn.Conv2d(8, 16, 3, bias=False))(torch.empty(1, 8, 12, 10))
    finally:
        torch.set_default_dtype(torch.float32)
    assert calls == [{torch.float32 if dtype == torch.bfloat16 else dtype}]
    assert (output.shape, output.dtype) == ((1, 16, 12, 10), dtype)
