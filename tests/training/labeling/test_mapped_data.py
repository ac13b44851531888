# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Data sets in other categories: `python -m training.map_categories`, and `--map` where models are evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.replay.__main__ import main as replay
from tests.training.labeling.recordings import write_drive
from tests.training.synthetic import scene, write_split
from training import check_data, evaluate, label, map_categories

ROADS = Path(__file__).parents[3] / "config" / "label_maps" / "road_scenes.yaml"
MAP = """
categories:
  - {id: 1, name: ground, kind: stuff, from: [road]}
  - {id: 2, name: sky, kind: stuff, from: [sky]}
  - {id: 3, name: mover, kind: thing, from: [car, person]}
"""


@pytest.fixture
def own_map(tmp_path: Path) -> Path:
    path = tmp_path / "map.yaml"
    path.write_text(MAP)
    return path


def mapped(folder: Path, own_map: Path) -> PanopticAnnotations:
    annotations = write_split(folder, {number: scene(number) for number in range(2)})
    target = folder / "annotations" / "mapped.json"
    assert map_categories.main([str(annotations.path), str(target), "--map", str(own_map)]) == 0
    assert check_data.main([str(target), "--images", str(folder / "tiny")]) == 0
    return PanopticAnnotations.load(target)


def test_annotations_are_mapped(tmp_path: Path, own_map: Path) -> None:
    found = mapped(tmp_path, own_map)
    segments = found.annotations[0]["segments_info"]
    assert [(one["category_id"], one["iscrowd"]) for one in segments] == [(2, 0), (1, 0), *[(3, 0)] * 4, (3, 1)]
    before = scene(0)[0]
    ids = found.segment_ids(0)
    assert np.array_equal(ids == 0, before == 0)
    assert len(np.unique(ids[(before == 1) | (before == 2)])) == 2, "touching objects remain two"


def test_things_that_become_stuff_are_merged(tmp_path: Path, own_map: Path) -> None:
    own_map.write_text(MAP.replace("[road]", "[road, person]").replace("[car, person]", "[car]"))
    segments = mapped(tmp_path, own_map).annotations[0]["segments_info"]
    assert sorted({one["category_id"] for one in segments}) == [1, 2, 3]
    assert not any(one["iscrowd"] for one in segments)


def test_mistakes_are_one_line(tmp_path: Path, own_map: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = write_split(tmp_path, {0: scene(0)})
    assert map_categories.main([str(annotations.path), str(annotations.path), "--map", str(own_map)]) == 1
    assert "exists already" in capsys.readouterr().err
    own_map.write_text(MAP.replace("[sky]", "[ski]"))
    assert map_categories.main([str(annotations.path), str(tmp_path / "x.json"), "--map", str(own_map)]) == 1
    assert "the map names 'ski'" in capsys.readouterr().err


def test_a_model_is_evaluated_in_other_categories(
    tmp_path: Path, own_map: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The labels of a model, mapped, are its own mapped results."""
    bag, labels = write_drive(tmp_path / "drive"), tmp_path / "labels"
    options = ["--map", str(ROADS)]
    teacher = ["--teacher", "scenes_light", "--min-area", "1", "--min-score", "0", "--output", str(labels)]
    assert label.main([str(bag), *teacher, *options, "--interval", "0.3"]) == 0
    truth = labels / "annotations" / "panoptic_train.json"
    run = tmp_path / "run"
    arguments = [str(bag), "--ground-truth", str(truth), "--output", str(run), "--device", "cpu"]
    assert replay(["evaluate", *arguments, *options]) == 0
    summary = json.loads((run / "report.json").read_text())["summary"]
    # JPEG changes the image that training.evaluate reads, but not the bag's.
    assert summary["pq"] == pytest.approx(100.0)
    assert evaluate.main(["scenes_light", str(truth), *options, "--json", str(tmp_path / "scores.json")]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["map"] == str(ROADS)
    capsys.readouterr()
    assert evaluate.main(["scenes_light", str(truth)]) == 1
    assert "the categories of the network (21) differ" in capsys.readouterr().err
    assert replay(["evaluate", *arguments]) == 1
    elsewhere = [str(bag), "--output", str(run), "--device", "cpu", "--map", str(own_map)]
    assert replay(["evaluate", *elsewhere]) == 1
    assert "contains a run with different settings" in capsys.readouterr().err
    assert replay(["node", *arguments, *options]) == 1
    assert "--map is for lock-step evaluation" in capsys.readouterr().err
