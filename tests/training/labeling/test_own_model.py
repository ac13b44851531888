# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The walk from a bag to a model of one's own, as docs/own_model.md describes it."""

from __future__ import annotations

import importlib
import json
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference.category_map import CategoryMap
from tests.test_documented_commands import blocks, commands
from tests.training.labeling.recordings import write_drive, write_teacher
from training import label
from training.config import load_config

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "own_model.md"
TEACHER = "hf://tue-mps/coco_panoptic_eomt_large_640"
FRAMES = 10
SHORT = (
    *("optimization.iterations=36", "optimization.batch_size=2", "optimization.warmup_iterations=5", "data.workers=0"),
    *("augmentation.shorter_side=[96,128]", "augmentation.crop=[96,128]", "model.input_size=96", "evaluate_every=36"),
    *("pictures_every=36", "device=cpu"),
)
"""Overrides of the configuration for the small recording."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a recording and the ground truth of its frames."""
    monkeypatch.chdir(tmp_path)
    for name in ("config", "ciae_ros"):
        (tmp_path / name).symlink_to(ROOT / name)
    (recorded,) = write_drive(tmp_path / "bag", FRAMES, 0.5).glob("*.mcap")
    recorded.rename("drive.mcap")
    teacher = str(write_teacher(tmp_path))
    assert label.main(["drive.mcap", "--teacher", teacher, "--output", "true_labels"]) == 0
    shutil.copytree("true_labels/annotations", "truth")
    for path in (Path("truth/panoptic_train.json"), Path("truth/panoptic_train")):
        path.rename(path.with_name(path.name.replace("train", "drive")))
    return tmp_path


def run(command: str, folder: Path) -> None:
    """Run a command of the page; the teacher is one without a network, and training is short."""
    python, option, name, *arguments = shlex.split(command.replace(TEACHER, str(folder / "teacher.py")), comments=True)
    assert (python, option) == ("python", "-m"), command
    if name == "training.train":
        arguments += SHORT
    if "node" in arguments:
        # The choice of a backend, which converts the model, is tested in tests/node.
        arguments += ["--backend", "torch"]
    module = importlib.import_module(f"{name}.__main__" if name.startswith("ciae_ros") else name)
    assert module.main(arguments) == 0, command


def scores(folder: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(Path(folder, "report.json").read_text())["summary"]
    return found


@pytest.mark.slow
def test_from_a_bag_to_a_model_in_the_node(folder: Path) -> None:
    has_ros = importlib.util.find_spec("rclpy") is not None
    found = [command for command in commands(PAGE) if not command.startswith("ros2 ")]
    for command in found:
        if has_ros or "replay node" not in command:
            run(command, folder)
    labels = PanopticAnnotations.load(Path("out/labels/annotations/panoptic_train.json"))
    assert len(labels.annotated) == 8
    before, after = scores("out/before"), scores("out/after")
    assert after["pq"] > before["pq"] + 20, "the student has learned nothing"
    assert scores("out/real")["pq"] == pytest.approx(after["pq"], abs=25)
    assert Path("out/comparison/comparison.html").stat().st_size > 10_000
    if has_ros:
        assert scores("out/student_node/node")["frames"] == FRAMES


def test_the_configuration_of_the_page_can_be_read() -> None:
    config = load_config(ROOT / "config" / "training" / "student_light.yaml", ["initial_checkpoint=null"])
    assert config.detection_loss.ignore_void
    assert config.initial_checkpoint is None


def test_the_map_of_the_page_can_be_read(tmp_path: Path) -> None:
    (text,) = blocks(PAGE, "yaml")
    path = tmp_path / "map.yaml"
    path.write_text(text)
    found = CategoryMap.load(path)
    found.check_names()
    assert len(found.categories.categories) == len(yaml.safe_load(text)["categories"])
