# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Data sets with ids and file names of other kinds are checked, trained, validated and evaluated like COCO."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import write_segment_ids
from ciae_ros.core.data_set_categories import UNUSED_THING
from ciae_ros.inference import load_checkpoint
from ciae_ros.replay.__main__ import main as replay
from tests.training.run.tiny_run import logged, refusal, train_with, write_data_set
from tests.training.synthetic import CAR, PERSON, ROAD, SKY, change_category_ids
from training import add_background, check_data, evaluate

Content = dict[str, Any]


def from_zero(content: Content, root: Path) -> None:
    change_category_ids(content, {ROAD: 0, SKY: 1, CAR: 2, PERSON: 3})


def large_ids(content: Content, root: Path) -> None:
    change_category_ids(content, {ROAD: 7, SKY: 100_000, CAR: 2**40, PERSON: 3})


def names_as_ids(content: Content, root: Path) -> None:
    for number, (image, annotation) in enumerate(zip(content["images"], content["annotations"], strict=True)):
        image["id"] = annotation["image_id"] = f"ulm_{number:06}" if number else 5


def folders(content: Content, root: Path) -> None:
    for number, (image, annotation) in enumerate(zip(content["images"], content["annotations"], strict=True)):
        city = ("ulm", "bonn")[number % 2]
        for entry, folder in ((image, root / "tiny"), (annotation, root / "annotations" / "panoptic_tiny")):
            (folder / city).mkdir(exist_ok=True)
            (folder / entry["file_name"]).rename(folder / city / entry["file_name"])
            entry["file_name"] = f"{city}{'/' if number else chr(92)}{entry['file_name']}"


def only(content: Content, root: Path, is_thing: bool) -> None:
    """Keep the things or the stuff."""
    content["categories"] = [one for one in content["categories"] if one["isthing"] == is_thing]
    kept = {one["id"] for one in content["categories"]}
    for annotation in content["annotations"]:
        png = root / "annotations" / "panoptic_tiny" / annotation["file_name"]
        blue_green_red = cv2.imread(str(png)).astype(np.int64)
        ids = blue_green_red[..., 2] + 256 * blue_green_red[..., 1] + 65536 * blue_green_red[..., 0]
        annotation["segments_info"] = [one for one in annotation["segments_info"] if one["category_id"] in kept]
        write_segment_ids(png, np.where(np.isin(ids, [one["id"] for one in annotation["segments_info"]]), ids, 0))


def stuff_only(content: Content, root: Path) -> None:
    only(content, root, is_thing=False)


def things_only(content: Content, root: Path) -> None:
    only(content, root, is_thing=True)


def edited(root: Path, edit: Callable[[Content, Path], None]) -> Path:
    path = write_data_set(root, 4)
    content = json.loads(path.read_text())
    edit(content, root)
    path.write_text(json.dumps(content))
    return path


def trained(path: Path, config: Path, output: Path, *overrides: str) -> Path:
    data = (f"data.train={path}", f"data.val={path}", f"data.train_images={path.parents[1] / 'tiny'}")
    sizes = ("optimization.iterations=2", "evaluate_every=2", f"data.val_images={path.parents[1] / 'tiny'}")
    assert train_with(config, output, *data, *sizes, *overrides) == 0
    assert math.isfinite(logged(output, "validation/mIoU")[-1])
    return output / "model.safetensors"


def evaluated(model: Path, path: Path, output: Path) -> Content:
    """Evaluate, and return the content of the results file."""
    images = path.parents[1] / "tiny"
    assert evaluate.main([str(model), str(path), "--images", str(images), "--output", str(output)]) == 0
    (results,) = output.glob("*.json")
    return dict(json.loads(results.read_text()))


@pytest.mark.parametrize("edit", [from_zero, large_ids, names_as_ids, folders, stuff_only])
def test_a_data_set_is_used_as_it_is(edit: Callable[[Content, Path], None], config: Path, tmp_path: Path) -> None:
    path = edited(tmp_path / "data", edit)
    assert check_data.main([str(path)]) == 0
    model = trained(path, config, tmp_path / "run")
    content, truth = evaluated(model, path, tmp_path / "results"), json.loads(path.read_text())
    assert [one["image_id"] for one in content["annotations"]] == [one["image_id"] for one in truth["annotations"]]
    ids = {one["id"] for one in truth["categories"]}
    assert {one["id"] for one in content["categories"]} == ids
    found = {one["category_id"] for entry in content["annotations"] for one in entry["segments_info"]}
    assert found and found <= ids
    for entry in content["annotations"]:
        assert (tmp_path / "results" / "panoptic_tiny_ciae_results" / entry["file_name"]).is_file()


def test_a_model_without_things_has_an_unused_one(config: Path, tmp_path: Path) -> None:
    path = edited(tmp_path / "data", stuff_only)
    model = trained(path, config, tmp_path / "run")
    assert [category.name for category in load_checkpoint(model).categories.things] == [UNUSED_THING]
    bag = tmp_path / "drive"
    assert replay(["make-bag", str(tmp_path / "data" / "tiny"), str(bag), "--truth", str(path)]) == 0
    options = ("--model", str(model), "--device", "cpu", "--output", str(tmp_path / "replay"), "--require", "miou>=0")
    assert replay(["evaluate", str(bag), "--ground-truth", str(bag), *options]) == 0


def test_a_data_set_of_things_is_refused_until_it_has_a_background(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = edited(tmp_path / "data", things_only)
    assert train_with(config, tmp_path / "refused", f"data.train={path}") == 1
    assert "python -m training.add_background SOURCE TARGET" in refusal(capsys)
    target = path.with_name("panoptic_background.json")
    assert add_background.main([str(path), str(target)]) == 0
    model = trained(target, config, tmp_path / "run")
    names = {one["name"] for one in evaluated(model, target, tmp_path / "results")["categories"]}
    assert names == {"background", "car", "person"}
