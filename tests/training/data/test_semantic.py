# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Conversion of semantic annotations to COCO's panoptic format."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from training import check_data
from training.convert_semantic import main
from training.data.sample import DataError
from training.data.semantic import SemanticClasses

ROOT = Path(__file__).parents[3]
SETS = sorted((ROOT / "config" / "data_sets").glob("*.yaml"))
VALUES = [
    {"id": 1, "name": "road", "value": 0, "color": [128, 64, 128]},
    {"id": 2, "name": "sky", "value": 4, "color": [70, 130, 180]},
    {"id": 3, "name": "car", "value": 7, "color": [0, 0, 142], "kind": "thing"},
]
COLORS = [{key: value for key, value in entry.items() if key != "value"} for entry in VALUES]


def street() -> np.ndarray:
    """Return values (30, 40): sky above a road, two cars, and void."""
    values = np.zeros((30, 40), np.uint8)
    values[:10] = 4
    values[12:20, 2:10] = 7
    values[12:20, 20:32] = 7
    values[25:, 30:] = 255
    return values


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two images with annotations as values and as colours."""
    for folder in ("images", "values", "colors"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), np.full((30, 40, 3), 100, np.uint8))
        cv2.imwrite(str(tmp_path / "values" / f"{name}.png"), street())
        colors = np.full((30, 40, 3), 1, np.uint8)
        for entry in VALUES:
            colors[street() == entry["value"]] = entry["color"][::-1]  # type: ignore[index]
        cv2.imwrite(str(tmp_path / "colors" / f"{name}.png"), colors)
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"classes": VALUES, "void": [255]}))
    (tmp_path / "colors.yaml").write_text(yaml.safe_dump({"classes": COLORS, "void": [[1, 1, 1]]}))
    return tmp_path


def convert(source: Path, kind: str, *options: str, target: str = "panoptic_train.json") -> int:
    arguments = [source / "images", source / kind, source / kind / "annotations" / target]
    return main([*map(str, arguments), "--classes", str(source / f"{kind}.yaml"), *options])


def load(source: Path, kind: str) -> PanopticAnnotations:
    return PanopticAnnotations.load(source / kind / "annotations" / "panoptic_train.json")


@pytest.mark.parametrize("kind", ["values", "colors"])
def test_segments_are_those_of_the_annotation(source: Path, kind: str) -> None:
    assert convert(source, kind) == 0
    found = load(source, kind)
    assert [one["file_name"] for one in found.images.values()] == ["a.jpg", "b.jpg"]
    image_id = found.annotated[0]
    ids = found.segment_ids(image_id)
    infos = found.annotations[image_id]["segments_info"]
    names = [found.categories.by_id[info["category_id"]].name for info in infos]
    assert sorted(names) == ["car", "car", "road", "sky"]
    assert sorted(info["area"] for info in infos) == [64, 96, 400, 1200 - 400 - 160 - 50]
    assert np.array_equal(ids == 0, street() == 255)
    assert check_data.main([str(found.path)]) == 0


def test_lists_choose_the_images(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "list.txt").write_text("b\n")
    assert convert(source, "values", "--only", str(source / "list.txt")) == 0
    assert [one["file_name"] for one in load(source, "values").images.values()] == ["b.jpg"]
    assert convert(source, "colors", "--without", str(source / "list.txt")) == 0
    assert [one["file_name"] for one in load(source, "colors").images.values()] == ["a.jpg"]
    (source / "list.txt").write_text("c\n")
    assert convert(source, "values", "--only", str(source / "list.txt"), target="panoptic_val.json") == 1
    assert "has no image c" in capsys.readouterr().err


def test_nothing_is_overwritten(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(source, "values") == 0
    before = (source / "values" / "annotations" / "panoptic_train.json").read_bytes()
    assert convert(source, "values") == 1
    assert "exists already" in capsys.readouterr().err
    assert (source / "values" / "annotations" / "panoptic_train.json").read_bytes() == before


def test_a_failed_conversion_leaves_nothing_behind(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = street()
    wrong[0, 0] = 9
    cv2.imwrite(str(source / "values" / "b.png"), wrong)
    assert convert(source, "values") == 1
    assert "b.png has the value 9, which is neither a class nor void" in capsys.readouterr().err
    assert list((source / "values" / "annotations").iterdir()) == []
    cv2.imwrite(str(source / "values" / "b.png"), street())
    assert convert(source, "values") == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda source: (source / "values" / "a.png").unlink(), "a.png is missing"),
        (lambda source: cv2.imwrite(str(source / "values" / "a.png"), street()[:20]), "is 40 x 20, its image 40 x 30"),
        (lambda source: (source / "values.yaml").write_text("classes: []"), "at least one stuff and one thing"),
        (lambda source: (source / "values.yaml").write_text("classes: {"), "cannot be read"),
        (lambda source: (source / "values.yaml").write_text("sky: 3"), "is not a list of classes"),
        (
            lambda source: (source / "values.yaml").write_text(yaml.safe_dump({"classes": VALUES, "void": [7]})),
            "two classes with the same pixels",
        ),
        (lambda source: (source / "values.yaml").write_text(yaml.safe_dump({"classes": COLORS})), "8-bit RGB"),
    ],
)
def test_mistakes_are_one_line(source: Path, capsys: pytest.CaptureFixture[str], damage: object, message: str) -> None:
    damage(source)  # type: ignore[operator]
    assert convert(source, "values") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_unknown_colours_are_named(source: Path) -> None:
    classes = SemanticClasses.load(source / "colors.yaml")
    cv2.imwrite(str(source / "colors" / "a.png"), np.full((4, 4, 3), (3, 2, 1), np.uint8))
    with pytest.raises(DataError, match=r"has the colour \[1, 2, 3\]"):
        classes.read(source / "colors" / "a.png")


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_the_data_sets_of_this_package_are_described_correctly(path: Path) -> None:
    assert len(SemanticClasses.load(path).categories) >= 7


def test_the_held_out_images_are_of_other_places() -> None:
    """No place of LabelMeFacade is in two parts."""
    lists = {
        name: (ROOT / "config" / "data_sets" / f"labelmefacade_{name}.txt").read_text().split()
        for name in ("val", "test")
    }
    assert {name: len(names) for name, names in lists.items()} == {"val": 50, "test": 100}
    places = {name: {one.split("__")[0] for one in names} for name, names in lists.items()}
    assert not places["val"] & places["test"]
