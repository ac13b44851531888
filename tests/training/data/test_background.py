# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A data set of things becomes one with a background, which has no faults; nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import PanopticAnnotations, write_segment_ids
from tests.training.synthetic import CAR, PERSON, ROAD, SKY, scene, write_split
from training import check_data
from training.add_background import main


@pytest.fixture
def things(tmp_path: Path) -> Path:
    """Path of a JSON file with cars and persons only, with the PNGs in folders."""
    path = write_split(tmp_path, {number: scene(number) for number in (1, 2)}).path
    content: dict[str, Any] = json.loads(path.read_text())
    content["categories"] = [one for one in content["categories"] if one["isthing"]]
    for annotation in content["annotations"]:
        segments = annotation["segments_info"]
        annotation["segments_info"] = [one for one in segments if one["category_id"] in (CAR, PERSON)]
        ids, _ = scene(annotation["image_id"])
        stuff = [one["id"] for one in segments if one["category_id"] in (ROAD, SKY)]
        annotation["file_name"] = f"ulm/{annotation['file_name']}"
        write_segment_ids(path.with_suffix("") / annotation["file_name"], np.where(np.isin(ids, stuff), 0, ids))
    path.write_text(json.dumps(content))
    return path


def test_pixels_without_a_segment_become_the_background(things: Path) -> None:
    target = things.with_name("panoptic_background.json")
    assert main([str(things), str(target)]) == 0
    found = PanopticAnnotations.load(target)
    (background,) = found.categories.stuff
    assert background.name == "background"
    assert [category.name for category in found.categories.things] == ["car", "person"]
    before = {entry["image_id"]: entry for entry in json.loads(things.read_text())["annotations"]}
    for image_id, annotation in found.annotations.items():
        *segments, added = annotation["segments_info"]
        assert segments == before[image_id]["segments_info"]
        ids, original = found.segment_ids(image_id), scene(image_id)[0]
        assert added["category_id"] == background.id
        assert added["area"] == (ids == added["id"]).sum() > 0
        for segment in segments:
            assert np.array_equal(ids == segment["id"], original == segment["id"])
        assert (ids > 0).all()
    assert check_data.main([str(target), "--images", str(things.parents[1] / "tiny")]) == 0


def test_invalid_arguments_are_reported(things: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = things.with_name("panoptic_background.json")
    for arguments, message in (
        ((things, things), "exists already"),
        ((things.with_name("no.json"), target), "no.json"),
        ((things, target, "--name", "car"), "there is a category 'car' already"),
    ):
        assert main([str(one) for one in arguments]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert not target.exists() and not target.with_suffix("").exists()
    (things.with_suffix("") / "ulm" / "0002.png").unlink()
    assert main([str(things), str(target)]) == 1
    assert "0002.png is missing" in capsys.readouterr().err
    assert not target.exists() and not target.with_suffix("").exists()
