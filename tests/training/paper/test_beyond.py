# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The configurations beyond the paper: what they change, what they cost, and that they train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ciae_ros.inference import load_checkpoint
from tests.training.paper.test_paper_rows import TINY, run
from tests.training.synthetic import scene, write_split
from training import train
from training.config import TrainingConfig, load_config
from training.paper.beyond import BEYOND
from training.paper.rows import CONFIGS, PAPER_CONFIGS, config_path, row_config

FOLDER = CONFIGS / "beyond"
SINGLE_CHANGES: dict[str, dict[str, Any]] = {
    "giou": {"detection_loss.box_loss": "giou"},
    "center_sampling": {"detection_loss.assignment": "center"},
    "atss": {"detection_loss.assignment": "atss"},
    "quality_focal": {"detection_loss.class_loss": "quality_focal", "model.centerness_branch": False},
    "auxiliary_semantics": {"model.auxiliary_semantics": True},
    "spread_memory": {"memory.initialization": "spread"},
    "ema": {"optimization.ema": 0.9998},
}


def _flat(config: TrainingConfig) -> dict[str, Any]:
    values = config.model_dump() | {"model": config.model_for(53, 80).to_dict()}
    nested = {name: value for name, value in values.items() if isinstance(value, dict)}
    return {f"{section}.{key}": value for section, entries in nested.items() for key, value in entries.items()}


def _row_config(name: str, small: bool = False) -> TrainingConfig:
    (row,) = (row for row in BEYOND.rows if row.name == name)
    return row_config(row, small, [])


def test_every_file_is_a_row() -> None:
    files = {path.stem for path in FOLDER.glob("*.yaml")}
    assert files == {row.name for row in BEYOND.rows} - {"default"}
    for row in BEYOND.rows:
        assert config_path(row, small=False).is_file()
        assert load_config(config_path(row, small=False), []).name == row.name


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", SINGLE_CHANGES)
def test_a_row_is_the_default_with_one_change(name: str, small: bool) -> None:
    changed, default = _flat(_row_config(name, small)), _flat(_row_config("default", small))
    assert {key: value for key, value in changed.items() if value != default[key]} == SINGLE_CHANGES[name]


def test_costs_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(tmp_path, "beyond --list", []) == 0
    lines = {line.split("|")[1].strip(): line for line in capsys.readouterr().out.splitlines() if line.startswith("|")}
    assert lines["large_scale_jitter"].split("|")[-2].strip() == "103"
    assert "37.9" in lines["default"] and "diverges" not in lines["giou"]


def test_single_changes_are_trained_and_compared_at_small_scale(tmp_path: Path) -> None:
    path = write_split(tmp_path / "data", {number: scene(number) for number in range(4)}).path
    overrides = [*TINY, f"data.train={path}", f"data.val={path}"]
    rows = "default atss quality_focal auxiliary_semantics"
    assert run(tmp_path / "output", f"beyond --scale small --rows {rows}", overrides) == 0
    table = (tmp_path / "output" / "beyond.md").read_text()
    for name in rows.split():
        (line,) = (line for line in table.splitlines() if line.startswith(f"| {name} "))
        assert "diverges" not in line and "failed" not in line


@pytest.mark.parametrize("name", ["regnetx_4gf", "recipe_r50", "recipe_convnext_tiny"])
def test_recipes_train_from_random_weights(name: str, tmp_path: Path) -> None:
    """Two iterations on tiny images, with the small head of the tests."""
    path = write_split(tmp_path / "data", {number: scene(number) for number in range(6)}).path
    tiny = [each for each in TINY if not each.startswith("model.preset")]
    # On P6 and P7 of 64 x 64 pixels, oneDNN computes a gradient in bf16 that is not finite.
    overrides = [*tiny, "augmentation.crop=[128,128]", f"data.train={path}", "data.val=null"]
    if name.startswith("recipe"):
        overrides.append("data.calibration_images=2")
    output = tmp_path / name
    assert train.main(["--config", str(FOLDER / f"{name}.yaml"), "--output", str(output), *overrides]) == 0
    trained = load_checkpoint(output / "model.safetensors")
    assert trained.model.config.centerness_branch == (name == "regnetx_4gf")
    assert (trained.calibration is not None) == name.startswith("recipe")


def test_the_paper_does_not_contain_them() -> None:
    default = _flat(load_config(PAPER_CONFIGS / "default.yaml", []))
    assert default["detection_loss.assignment"] == "levels"
    assert not default["model.auxiliary_semantics"]
