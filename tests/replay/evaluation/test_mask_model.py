# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Networks of transformers in the replay, its report, recorded results and the evaluation of images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

pytest.importorskip("transformers")

from ciae_ros.core.categories import CategorySet
from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.replay.__main__ import main
from ciae_ros.replay.bags.bag_writing import write_bag
from tests.inference.loading.huggingface_models import write_model
from tests.training.synthetic import CATEGORIES, scene, write_split
from training.calibrate import main as calibrate
from training.evaluate import main as evaluate

OWN = CategorySet(tuple(replace(category, name=f"own {category.name}") for category in CATEGORIES.categories))
"""Categories with other names than any known data set's."""
LABELS = tuple({c.id - 1: c.name for c in OWN.categories}.get(number, f"LABEL_{number}") for number in range(12))
LENIENT = ["--score-threshold", "0", "--mask-threshold", "0", "--overlap-threshold", "0"]


def write(family: str, parent: Path) -> str:
    folder = write_model(family, parent / family, LABELS)
    (folder / "things.yaml").write_text("- own car\n- own person\n")
    return f"{folder}?things={folder / 'things.yaml'}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write("mask2former", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> PanopticAnnotations:
    return write_split(tmp_path_factory.mktemp("data"), {n: scene(n) for n in range(4)}, categories=OWN)


@pytest.fixture(scope="module")
def bag(annotations: PanopticAnnotations, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, path = image_folder_of(annotations.path), tmp_path_factory.mktemp("bags") / "drive"
    images = [cv2.imread(str(folder / entry["file_name"])) for entry in annotations.images.values()]
    write_bag(path, (("/camera/image_raw", 10**9 + i * 10**8, image) for i, image in enumerate(images)))
    return path


@pytest.mark.parametrize("family", ["eomt", "mask2former", "oneformer", "detr"])
def test_replay_writes_a_report(family: str, bag: Path, annotations: PanopticAnnotations, tmp_path: Path) -> None:
    model = write(family, tmp_path)
    arguments = ["evaluate", bag, "--model", model, "--device", "cpu", "--output", tmp_path / "run", *LENIENT]
    assert main([*map(str, arguments), "--ground-truth", str(annotations.path)]) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["summary"]["frames"] == 4
    # The same images from their files, by the other command.
    scores = tmp_path / "scores.json"
    assert evaluate([model, str(annotations.path), "--device", "cpu", "--json", str(scores), *LENIENT]) == 0
    expected = json.loads(scores.read_text())["scores"]
    assert report["summary"]["miou"] == pytest.approx(100 * expected["mean_iou"])
    assert report["summary"]["pq"] == pytest.approx(100 * expected["all"]["pq"])
    # DETR's random weights prefer a class without a category here; the node's test has segments of it.
    assert report["summary"]["unlabelled"] < 1 or family == "detr"
    page = (tmp_path / "run" / "report.html").read_text()
    assert family in page and "own car" in page


def test_results_are_recorded(model: str, bag: Path, tmp_path: Path) -> None:
    arguments = ["record-results", bag, tmp_path / "out.mcap", "--model", model, "--device", "cpu"]
    assert main([*map(str, arguments), *LENIENT]) == 0
    assert (tmp_path / "out.mcap").is_file()


def test_images_are_evaluated(model: str, annotations: PanopticAnnotations, tmp_path: Path) -> None:
    arguments = [model, annotations.path, "--device", "cpu", "--json", tmp_path / "scores.json", *LENIENT]
    assert evaluate([*map(str, arguments)]) == 0
    content = json.loads((tmp_path / "scores.json").read_text())
    assert (content["checkpoint"], content["instance_category"]) == ("mask2former", None)
    assert content["settings"]["overlap_threshold"] == 0


@pytest.mark.parametrize("option", [["--oracle"], ["--instance-category", "embedding"]])
def test_what_only_ciae_has_is_refused(
    model: str, annotations: PanopticAnnotations, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate([model, str(annotations.path), "--device", "cpu", *option]) == 1
    assert "need a checkpoint of CIAE, not mask2former" in capsys.readouterr().err


def test_commands_for_checkpoints_say_so(
    model: str, annotations: PanopticAnnotations, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate([model, str(annotations.path)]) == 1
    assert (
        "is not a checkpoint of CIAE, which this needs: give the path of a .safetensors file" in capsys.readouterr().err
    )
