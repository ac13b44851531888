# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Learning rates, groups, clipping, frozen parts and the moving average, as in the paper and the configuration."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn

from ciae_ros.inference import coco_categories, load_checkpoint
from ciae_ros.model.backbone import TimmFeatures
from tests.training.run.tiny_run import ITERATIONS, copied, logged, saved_state, steps, tiny_model, train_with
from training.config import ConfigError, OptimizationConfig, TrainingConfig
from training.engine.builders import build_state
from training.engine.ema import WeightAverage
from training.engine.optimization import build_optimizer, freeze, set_rate
from training.engine.schedule import Schedule, scaled_schedule

# Schedule and optimiser.


def test_the_papers_learning_rates() -> None:
    """Sec. V-C; the warm-up is detectron's."""
    schedule = scaled_schedule(OptimizationConfig())
    assert schedule.iterations == 90_000
    expected = {0: 1e-5, 250: 0.005005, 500: 0.01, 59_999: 0.01, 60_000: 1e-3, 79_999: 1e-3, 80_000: 1e-4, 89_999: 1e-4}
    for iteration, rate in expected.items():
        assert schedule.rate(iteration) == pytest.approx(rate, rel=1e-9), iteration


@pytest.mark.parametrize("batch_size", [2, 4, 16, 32])
def test_linear_scaling(batch_size: int) -> None:
    schedule = scaled_schedule(OptimizationConfig(batch_size=batch_size))
    assert schedule.learning_rate == pytest.approx(0.01 * batch_size / 16)
    assert schedule.iterations == 90_000 * 16 // batch_size
    assert schedule.milestones == (60_000 * 16 // batch_size, 80_000 * 16 // batch_size)
    assert schedule.warmup_iterations == 500 * 16 // batch_size
    unscaled = scaled_schedule(OptimizationConfig(batch_size=batch_size, scale_with_batch=False))
    assert unscaled == scaled_schedule(OptimizationConfig())


def test_polynomial_rates() -> None:
    schedule = Schedule(100, 0.1, (), 0, polynomial=True)
    for iteration in range(1, 100):
        assert schedule.rate(iteration) == pytest.approx(0.1 * (1 - iteration / 100) ** 0.9)


@pytest.mark.parametrize("polynomial", [False, True])
def test_no_warm_up_is_none(polynomial: bool) -> None:
    assert Schedule(100, 0.1, (50,), 0, polynomial).rate(0) == pytest.approx(0.1)


def test_linear_scaling_is_reported_and_applied(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {
        "iterations": 1,
        "milestones": [1],
        "warmup_iterations": 1,
        "scale_with_batch": True,
        "learning_rate": 0.04,
        "schedule": "steps",
        "batch_size": 4,
    }
    overrides = [f"optimization.{key}={value}" for key, value in changes.items()]
    assert train_with(config, tmp_path / "run", *overrides) == 0
    told = "batch 4 instead of 16: learning rate 0.01, 4 iterations, milestones (4,), warm-up 4 (linear scaling)"
    assert told in capsys.readouterr().out
    rates = [0.01 * (0.001 + 0.999 * t / 4) for t in range(4)]
    np.testing.assert_allclose(logged(tmp_path / "run", "run/learning_rate"), rates, rtol=1e-5)
    assert saved_state(tmp_path / "run")["iteration"] == 4


def test_rates_and_momenta_of_a_run(finished: Path) -> None:
    schedule = Schedule(ITERATIONS, 0.002, (), 3, polynomial=True)
    rates = [schedule.rate(iteration) for iteration in range(ITERATIONS)]
    np.testing.assert_allclose(logged(finished, "run/learning_rate"), rates, rtol=1e-5)
    momenta = [1 - 0.01 * (1 - t / ITERATIONS) ** 3 for t in range(ITERATIONS)]
    np.testing.assert_allclose(logged(finished, "run/memory_momentum"), momenta, rtol=1e-6)
    groups = saved_state(finished)["optimizer"]["param_groups"]
    assert {round(group["lr"] / rates[-1], 6) for group in groups} == {0.5, 1.0}


def test_groups_of_the_optimiser() -> None:
    """Each trained parameter is in one group, the backbone's separately; biases and normalisations are not decayed."""
    model = tiny_model()
    config = OptimizationConfig(backbone_rate=0.25, frozen_stages=1)
    freeze(model, config)
    optimizer = build_optimizer(model, config)
    set_rate(optimizer, 0.08)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    assert len({id(p) for p in parameters}) == len(parameters)
    assert {id(p) for p in parameters} == {id(p) for p in model.parameters() if p.requires_grad}
    backbone = {id(p) for p in model.backbone.parameters()}
    for group in optimizer.param_groups:
        for p in group["params"]:
            assert group["lr"] == pytest.approx(0.02 if id(p) in backbone else 0.08)
            assert group["weight_decay"] == (1e-4 if p.dim() > 1 else 0)
            assert group["momentum"] == 0.9


@pytest.mark.parametrize("name", ["resnet50", "regnetx_040", "convnext_tiny"])
def test_layer_decay_follows_the_stages_of_timm(name: str) -> None:
    with torch.device("meta"):
        model = tiny_model(backbone=f"timm/{name}")
    original = timm.create_model(name)
    groups = group_parameters(original, original.group_matcher(coarse=True))
    stage_of = {parameter: stage for stage, names in groups.items() for parameter in names}
    optimizer = build_optimizer(model, OptimizationConfig(optimizer="adamw", backbone_rate=0.5, layer_decay=0.8))
    factor_of = {id(p): group["rate_factor"] for group in optimizer.param_groups for p in group["params"]}
    backbone = model.backbone
    assert isinstance(backbone, TimmFeatures)
    for parameter, value in backbone.body.named_parameters():
        # timm's groups are the stem, four stages and the head.
        stage = stage_of[parameter.replace("stages_", "stages.").replace("stem_", "stem.")]
        assert factor_of[id(value)] == pytest.approx(0.5 * 0.8 ** (5 - stage)), parameter
    others = {factor_of[id(p)] for n, p in model.named_parameters() if not n.startswith("backbone.")}
    assert others == {1.0}
    assert len(factor_of) == len(list(model.parameters()))


@pytest.mark.parametrize("bound", [0.5, 1e-3, 1e6])
def test_gradient_clipping(config: Path, data_set: Path, tmp_path: Path, bound: float) -> None:
    """With plain gradient descent, the weights change by at most rate x limit."""
    model = tiny_model()
    before = [p.detach().clone() for p in model.parameters()]
    steps(
        model,
        config,
        data_set,
        tmp_path,
        1,
        "optimization.optimizer=sgd",
        "optimization.momentum=0",
        "optimization.weight_decay=0",
        "optimization.learning_rate=1",
        "optimization.backbone_rate=1",
        f"optimization.gradient_clipping={bound}",
    )
    moved = math.sqrt(
        sum(float((p.detach() - b).square().sum()) for p, b in zip(model.parameters(), before, strict=True))
    )
    if bound < 1:
        assert moved == pytest.approx(bound, rel=1e-3)
    else:
        assert 1 < moved < bound


def _changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


RESNET_STAGES = ("backbone.conv1", "backbone.layer1", "backbone.layer2", "backbone.layer3", "backbone.layer4")


def _of_normalization(name: str) -> bool:
    return ".bn" in name or "downsample.1" in name


@pytest.mark.parametrize("frozen_stages", range(6))
def test_stages_of_a_resnet_can_be_frozen(frozen_stages: int) -> None:
    with torch.device("meta"):
        model = tiny_model(backbone="resnet50")
    freeze(model, OptimizationConfig(frozen_stages=frozen_stages))
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != name.startswith(RESNET_STAGES[:frozen_stages]), name
    assert not any(_of_normalization(name) for name, _ in model.backbone.named_parameters())


@pytest.mark.parametrize(
    ("optimization", "message"),
    [
        ({"frozen_stages": 2}, r"frozen_stages: .* stages of hrnet_w18 end; set it to 0"),
        ({"frozen_stages": 0, "layer_decay": 0.9}, r"layer_decay: .* stages of hrnet_w18 end; set it to 1"),
    ],
)
def test_options_that_need_the_stages_are_refused_without(optimization: dict[str, float], message: str) -> None:
    values = {
        "name": "test",
        "model": {"preset": "light_512", "backbone": "timm/hrnet_w18"},
        "pretrained": None,
        "data": {"train": "missing.json"},
        "optimization": optimization,
    }
    with pytest.raises(ConfigError, match=message):
        build_state(TrainingConfig.model_validate(values), coco_categories(), torch.device("cpu"))


def test_frozen_stages_of_a_resnet_do_not_change(config: Path, data_set: Path, tmp_path: Path) -> None:
    model = tiny_model(backbone="resnet50")
    for module in model.modules():  # Random weights: without this the activations double in every block.
        if hasattr(module, "conv3"):
            module.bn3.weight.fill_(0.2)
    before = copied(model)
    changes = ["optimization.frozen_stages=2", "optimization.weight_decay=0.1", "optimization.ema=null"]
    steps(model, config, data_set, tmp_path, 1, *changes)
    changed = _changed(model, before)
    in_backbone = {name for name in before if name.startswith("backbone.")}
    frozen = {name for name in in_backbone if name.startswith(RESNET_STAGES[:2]) or _of_normalization(name)}
    assert changed & in_backbone == in_backbone - frozen
    assert {"pyramid.fpn.inner_blocks.0.0.weight", "proposal_head.class_logits.bias", "memory.vectors"} <= changed


@pytest.mark.parametrize("frozen_batch_norm", ["true", "false"])
def test_the_frozen_stem_of_a_timm_model_does_not_change(
    config: Path, data_set: Path, tmp_path: Path, frozen_batch_norm: str
) -> None:
    model = tiny_model()
    before = copied(model)
    changes = ["optimization.frozen_stages=1", f"optimization.frozen_batch_norm={frozen_batch_norm}"]
    steps(model, config, data_set, tmp_path, 2, *changes)
    changed = _changed(model, before)
    assert {name for name in changed if name.startswith(("backbone.body.conv_stem", "backbone.body.bn1"))} == set()
    assert "backbone.body.blocks.0.0.conv_dw.weight" in changed


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_normalisations_do_not_change(config: Path, data_set: Path, tmp_path: Path, frozen: bool) -> None:
    model = tiny_model()
    norms = {
        f"backbone.{name}.{field}"
        for name, module in model.backbone.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for field in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    assert len(norms) > 100
    before = copied(model)
    steps(model, config, data_set, tmp_path, 2, f"optimization.frozen_batch_norm={str(frozen).lower()}")
    changed = _changed(model, before)
    assert changed & norms == (set() if frozen else norms)
    assert "backbone.body.conv_stem.weight" in changed


def test_batch_normalisations_stay_frozen_in_a_run_with_images(config: Path, tmp_path: Path) -> None:
    """Logging images temporarily sets the evaluation mode."""
    overrides = ["optimization.frozen_batch_norm=true", "optimization.iterations=3", "pictures_every=1"]
    assert train_with(config, tmp_path / "run", *overrides) == 0
    torch.manual_seed(0)
    initial, model = tiny_model().state_dict(), saved_state(tmp_path / "run")["model"]
    statistics = [name for name in model if "running_" in name or "num_batches" in name]
    assert len(statistics) > 100
    assert all(torch.equal(model[name], initial[name]) for name in statistics)


# Moving average.


def test_the_average_is_an_exponential_one() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))
            self.memory = nn.Module()
            self.memory.register_buffer("vectors", torch.zeros(2))
            self.register_buffer("count", torch.tensor(0))

    model = Model()
    average = WeightAverage(model, 0.9)  # type: ignore[arg-type]
    expected = torch.zeros(3)
    for iteration in range(200):
        with torch.no_grad():
            model.weight.copy_(torch.randn(3))
        model.memory.vectors = torch.randn(2)
        model.count = torch.tensor(iteration)
        average.update(model, iteration)  # type: ignore[arg-type]
        decay = min(0.9, (1 + iteration) / (10 + iteration))
        expected = decay * expected + (1 - decay) * model.weight.detach()
        torch.testing.assert_close(average.model.weight, expected)
        assert torch.equal(average.model.memory.vectors, model.memory.vectors)
        assert int(average.model.count) == iteration
    assert not average.model.weight.requires_grad and not average.model.training


def test_the_average_is_what_a_run_exports(finished: Path) -> None:
    state = saved_state(finished)
    exported = load_checkpoint(finished / "model.safetensors").model.state_dict()
    assert exported.keys() == state["average"].keys() == state["model"].keys()
    for name, value in exported.items():
        torch.testing.assert_close(value, state["average"][name], rtol=0, atol=0, msg=name)
    assert torch.equal(state["average"]["memory.vectors"], state["model"]["memory.vectors"])
    name = "pyramid.fpn.inner_blocks.0.0.weight"
    assert not torch.equal(state["average"][name], state["model"][name])


def test_without_average_a_run_exports_the_weights(config: Path, tmp_path: Path) -> None:
    assert train_with(config, tmp_path / "run", "optimization.ema=null", "optimization.iterations=2") == 0
    state = saved_state(tmp_path / "run")
    assert "average" not in state
    exported = load_checkpoint(tmp_path / "run" / "model.safetensors").model.state_dict()
    assert all(torch.equal(value, exported[name]) for name, value in state["model"].items())
