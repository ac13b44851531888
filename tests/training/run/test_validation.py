# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Validation during a run, and fine-tuning from another model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ciae_ros.inference import Category, CategorySet, load_checkpoint
from ciae_ros.model import CIAE, ModelConfig
from tests.training import synthetic
from tests.training.run.tiny_run import (
    TINY,
    copied,
    logged,
    refusal,
    saved_state,
    stop_after,
    tiny_model,
    train_with,
    write_data_set,
)
from training.config import load_config
from training.engine import loop
from training.engine.pretrained import load_initial_weights

# Validation.


def test_validation_and_images_do_not_affect_the_training(
    config: Path, data_set: Path, finished: Path, tmp_path: Path
) -> None:
    overrides = [f"data.val={data_set}", "evaluate_every=6", "pictures_every=6"]
    assert train_with(config, tmp_path / "run", *overrides) == 0
    state, expected = saved_state(tmp_path / "run"), saved_state(finished)
    assert all(torch.equal(state["model"][name], value) for name, value in expected["model"].items())
    pq = logged(tmp_path / "run", "validation/PQ")
    assert len(pq) == 2 and all(0 <= value <= 100 for value in pq)
    assert load_checkpoint(tmp_path / "run" / "best.safetensors").categories == synthetic.CATEGORIES


def _pretend_scores(pq_of_iteration: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Validate without an evaluation; returns the requested scores."""
    from training.engine import validation  # noqa: PLC0415

    asked: list[float] = []
    scores = iter(pq_of_iteration.values())

    def evaluate(*_: Any) -> SimpleNamespace:
        asked.append(next(scores))
        part = SimpleNamespace(pq=asked[-1])
        return SimpleNamespace(all=part, things=part, stuff=part, mean_iou=0.0, box_ap=SimpleNamespace(ap=0.0))

    monkeypatch.setattr(validation, "evaluate", evaluate)
    return asked


def test_the_best_model_survives_a_crash(
    config: Path, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validated after 4 iterations (the best), killed after 6, resumed from the checkpoint at 4, worse at 8."""
    output = tmp_path / "run"
    overrides = [f"data.val={data_set}", "evaluate_every=4", "checkpoint_every=4", "optimization.iterations=8"]
    calls = iter(range(100))
    step = loop.training_step

    def die_in_iteration_6(*arguments: Any) -> Any:
        if next(calls) == 6:
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patch:
        _pretend_scores({4: 0.7}, patch)
        patch.setattr(loop, "training_step", die_in_iteration_6)
        with pytest.raises(KeyboardInterrupt):
            train_with(config, output, *overrides)
    best = (output / "best.safetensors").read_bytes()
    assert saved_state(output)["iteration"] == 4
    _pretend_scores({8: 0.5}, monkeypatch)
    assert train_with(config, output, *overrides) == 0
    assert (output / "best.safetensors").read_bytes() == best


def test_the_last_validation_is_made_up_for(
    config: Path, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is stopped after the last checkpoint and before the last validation."""
    overrides = [f"data.val={data_set}", "optimization.iterations=4"]
    asked = _pretend_scores({4: 0.7}, monkeypatch)
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        assert train_with(config, tmp_path / "run", *overrides) == 0
    assert train_with(config, tmp_path / "run", *overrides) == 0
    assert asked == [0.7]
    assert (tmp_path / "run" / "best.safetensors").exists()


# Fine-tuning.


def _other_data_set(root: Path) -> Path:
    """With a stuff class and two thing classes more."""
    more = (
        Category(20, "tree", False, (0, 99, 0)),
        Category(21, "dog", True, (9, 99, 9)),
        Category(22, "cat", True, (9, 0, 99)),
    )
    return write_data_set(root, 4, CategorySet((*synthetic.CATEGORIES.categories, *more)))


def test_fine_tuning_loads_all_layers_independent_of_the_categories(
    config: Path, finished: Path, tmp_path: Path
) -> None:
    checkpoint = finished / "model.safetensors"
    torch.manual_seed(5)
    model = CIAE(ModelConfig(num_stuff_classes=3, num_thing_classes=4, **TINY))
    before = copied(model)
    load_initial_weights(model, load_config(config, [f"initial_checkpoint={checkpoint}"]))
    given = load_checkpoint(checkpoint).model.state_dict()
    new = {"proposal_head.class_logits.weight", "proposal_head.class_logits.bias", "memory.vectors"}
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name] if name in new else given[name]), name
    path = _other_data_set(tmp_path)
    output = tmp_path / "run"
    overrides = [f"data.train={path}", f"initial_checkpoint={checkpoint}", "optimization.iterations=6"]
    assert train_with(config, output, *overrides) == 0
    assert len(load_checkpoint(output / "model.safetensors").categories.things) == 4
    losses = logged(output, "loss/total")
    assert losses[-1] < 0.9 * losses[0]


def test_fine_tuning_for_the_same_categories_takes_everything(config: Path, finished: Path) -> None:
    checkpoint = finished / "model.safetensors"
    model = tiny_model()
    load_initial_weights(model, load_config(config, [f"initial_checkpoint={checkpoint}"]))
    given = load_checkpoint(checkpoint).model.state_dict()
    assert all(torch.equal(value, given[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("change", ["model.embedding_dim=16", "model.head_convs=2", "model.coord_conv=false"])
def test_a_checkpoint_of_another_architecture_is_refused(
    config: Path, finished: Path, tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [change, f"initial_checkpoint={finished / 'model.safetensors'}"]
    assert train_with(config, tmp_path / "run", *overrides) == 1
    assert "initial_checkpoint" in refusal(capsys)
