# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The rows of the paper's tables, trained and evaluated on a tiny data set."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from tests.training.synthetic import scene, write_split
from training import train
from training.config import TrainingConfig
from training.paper import rows
from training.paper.rows import PAPER_CONFIGS
from training.reproduce import main

TINY = [
    "model.preset=light_512",
    "model.fpn_channels=32",
    "model.embedding_channels=32",
    "model.head_convs=1",
    "model.input_size=64",
    "model.max_input_size=128",
    "augmentation.shorter_side=[64,64]",
    "augmentation.longer_side=128",
    "augmentation.crop=[64,64]",
    "optimization.iterations=2",
    "optimization.batch_size=2",
    "optimization.scale_with_batch=false",
    "pretrained=null",
    "inference.score_threshold=0.05",
    "data.workers=0",
    "data.calibration_images=null",
    "device=cpu",
]


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Overrides for a training on eight images that takes seconds."""
    path = write_split(tmp_path / "data", {number: scene(number) for number in range(8)}).path
    return [*TINY, f"data.train={path}", f"data.val={path}"]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


def run(output: Path, command: str, overrides: list[str]) -> int:
    return main([*command.split(), "--output", str(output), *overrides])


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(config: TrainingConfig, folder: Path) -> None:
        pytest.fail(f"{folder} was trained")

    monkeypatch.setattr(rows, "train", trained)


def test_rows_are_trained_evaluated_and_compared_once(
    output: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "table9 --scale small --rows 0.15 0.00 --seeds 0 1"
    assert run(output, command, tiny) == 0
    folders = [f"{name}-seed{seed}" for name in ("default", "table9_margin_0.00") for seed in (0, 1)]
    assert {path.name for path in output.iterdir()} == {*folders, "table9.md"}
    measured = []
    for folder in folders:
        content = json.loads((output / folder / "scores.json").read_text())
        measured.append(100 * content["scores"]["all"]["pq"])
        assert content["seed"] == int(folder[-1])
    table = (output / "table9.md").read_text()
    assert table in capsys.readouterr().out
    mean = sum(measured[:2]) / 2
    assert f"| 0.15 | {mean:.1f} ({measured[0]:.1f}, {measured[1]:.1f}) | 37.9 " in table
    forbid_training(monkeypatch)
    assert run(output, command, tiny) == 0
    assert (output / "table9.md").read_text() == table
    # A row of another table with the same model.
    assert run(output, "table10 --scale small --rows 32", tiny) == 0


def test_one_training_is_evaluated_in_several_ways(
    output: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(output, "table4 --scale small --rows D_per_class", tiny) == 0
    forbid_training(monkeypatch)
    assert run(output, "table4 --scale small --rows E_per_class D_per_class", tiny) == 0
    folder = output / "table4_per_class-seed0"
    detector, embedding = (json.loads((folder / name).read_text()) for name in ("scores.json", "scores_embedding.json"))
    assert embedding["evaluation"]["instance_category"] == "embedding"
    assert detector["scores"]["stuff"] == embedding["scores"]["stuff"]


def test_oracle_is_given_the_ground_truth(output: Path, tiny: list[str]) -> None:
    assert run(output, "table5 --rows r50 r50_oracle", tiny) == 0
    folder = output / "default-seed0"
    found, oracle = (json.loads((folder / name).read_text()) for name in ("scores.json", "scores_oracle.json"))
    assert oracle["scores"]["things"]["pq"] > found["scores"]["things"]["pq"]


def test_results_for_the_server_are_written(output: Path, tiny: list[str], tmp_path: Path) -> None:
    root = tmp_path / "data"
    annotations = PanopticAnnotations.load(root / "annotations" / "panoptic_tiny.json")
    assert run(output, "table2 --rows r50", tiny) == 1
    image_info = {"images": list(annotations.images.values())[:2]}
    (root / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(image_info))
    shutil.copytree(root / "tiny", root / "test2017")
    assert run(output, "table2 --rows r50", tiny) == 0
    results = PanopticAnnotations.load(output / "table1_r50-seed0" / "panoptic_test-dev2017_ciae_results.json")
    assert list(results.annotations) == list(results.images) == [0, 1]
    for image_id, entry in results.annotations.items():
        written = {info["id"] for info in entry["segments_info"]}
        assert set(results.segment_ids(image_id).flat) - {0} == written
    assert f"- r50: results for the server: {results.path}" in (output / "table2.md").read_text()


def test_a_model_trained_by_torchrun_is_evaluated(
    output: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PAPER_CONFIGS / "table10_dim_16.yaml"
    folder = output / "table10_dim_16-seed0"
    assert train.main(["--config", str(config), "--output", str(folder), *tiny, "seed=0", "data.val=null"]) == 0
    forbid_training(monkeypatch)
    assert run(output, "table10 --rows 16", tiny) == 0


def test_thresholds_are_chosen_on_other_images_than_the_scores(
    output: Path, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrated = [*tiny, "data.calibration_images=2"]
    assert run(output, "table9 --scale small --rows 0.15", calibrated) == 1
    assert "its thresholds were chosen on images of" in capsys.readouterr().err
    others = write_split(tmp_path / "data", {number: scene(number) for number in (11, 12)}, split="others")
    assert run(output, "table9 --scale small --rows 0.15", [*calibrated, f"data.val={others.path}"]) == 0
    chosen = "thresholds chosen for each model on 2 held-out training images"
    assert chosen in (output / "table9.md").read_text()


def test_divergence_is_a_result(
    output: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = [*tiny, "optimization.learning_rate=1.0e+30"]
    assert run(output, "table7 --scale small --rows 0", wild) == 1
    assert "the loss of iteration 1 is not finite" in capsys.readouterr().err
    table = (output / "table7.md").read_text()
    assert re.search(r"\| 0 +\| failed +\| diverges +\|", table)
    assert "- 0: the loss of iteration 1 is not finite" in table
    forbid_training(monkeypatch)
    assert run(output, "table7 --scale small --rows 0", wild) == 1


def test_a_row_that_fails_does_not_stop_the_others(
    output: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = output / "table9_margin_0.30-seed0" / "state.pt"
    broken.parent.mkdir(parents=True)
    broken.write_text("broken")
    command = "table9 --scale small --rows 0.30 0.15"
    assert run(output, command, tiny) == 1
    assert "table9, 0.30, seed 0: " in capsys.readouterr().err
    table = (output / "table9.md").read_text()
    assert re.search(r"\| 0\.30 \| failed +\| 36\.5 ", table)
    assert re.search(r"\| 0\.15 \| \d+\.\d +\| 37\.9 ", table)
    broken.unlink()
    assert run(output, command, tiny) == 0


def test_a_stopped_training_stops_all(
    output: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = []
    monkeypatch.setattr(rows, "train", lambda config, folder: started.append(folder.name))
    assert run(output, "table9 --scale small --rows 0.15 0.00", tiny) == 1
    assert started == ["default-seed0"]
    assert capsys.readouterr().err.endswith("was stopped; the same command resumes\n")


def test_folder_of_another_training_is_refused(
    output: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(output, "table9 --scale small --rows 0.15", tiny) == 0
    assert run(output, "table9 --scale small --rows 0.15", [*tiny, "memory.momentum=0.5"]) == 1
    assert "belongs to a run with another memory" in capsys.readouterr().err


def test_missing_data_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # A checkout may contain the data.
    for options, path in (
        ("", "data/coco/annotations/panoptic_train2017.json"),
        ("--scale small", "out/data/camvid/annotations/panoptic_train.json"),
        (f"--data-root {tmp_path}", f"{tmp_path}/annotations/panoptic_train2017.json"),
    ):
        assert main(["table8", *options.split(), "data.train_images=/nowhere", f"--output={tmp_path}"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"reproduce: {path} is missing: ")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("table8 --rows 1.4", "row '1.4' does not exist; the rows are All, 2.0, 1.5, 1.2, 1.0"),
        ("table8 model.heads=1", "heads: Unexpected keyword argument"),
        ("table8 data.val=null", "data.val: required for the evaluation"),
    ],
)
def test_invalid_selections_are_refused(command: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 1
    assert message in capsys.readouterr().err
