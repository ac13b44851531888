# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Faults of data sets are found, with the name of the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from training.check_data import main

CATEGORIES = [
    {"id": 3, "name": "road", "isthing": 0},
    {"id": 7, "name": "sky", "isthing": 0},
    {"id": 9, "name": "car", "isthing": 1},
    {"id": 11, "name": "dog", "isthing": 1},
]
HEIGHT, WIDTH = 24, 32
ROAD, SKY, CAR, OTHER_CAR = 5, 300, 70000, 8


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """The JSON file of two valid images: a.jpg with road, sky, a car and a crowd of cars; b.jpg with road only."""
    path = tmp_path / "annotations" / "panoptic_mine.json"
    path.with_suffix("").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    for name in "ab":
        pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "mine" / f"{name}.jpg"), pixels)
    a = np.full((HEIGHT, WIDTH), ROAD, np.int32)
    a[:8] = SKY
    a[10:14, 4:10] = CAR  # 24 pixels
    a[16:20, 4:10] = OTHER_CAR  # 24 pixels, a crowd
    a[:, 24:] = 0  # a quarter
    _write_png(path, "a", a)
    _write_png(path, "b", np.full((HEIGHT, WIDTH), ROAD, np.int32))
    content = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH},
            {"id": 2, "file_name": "b.jpg", "height": HEIGHT, "width": WIDTH},
        ],
        "annotations": [
            {
                "image_id": 1,
                "file_name": "a.png",
                "segments_info": [
                    {"id": ROAD, "category_id": 3, "area": 16 * 24 - 48, "iscrowd": 0, "bbox": [0, 8, 24, 16]},
                    {"id": SKY, "category_id": 7, "area": 8 * 24, "iscrowd": 0, "bbox": [0, 0, 24, 8]},
                    {"id": CAR, "category_id": 9, "area": 24, "iscrowd": 0, "bbox": [4, 10, 6, 4]},
                    {"id": OTHER_CAR, "category_id": 9, "area": 24, "iscrowd": 1, "bbox": [4, 16, 6, 4]},
                ],
            },
            {
                "image_id": 2,
                "file_name": "b.png",
                "segments_info": [
                    {"id": ROAD, "category_id": 3, "area": HEIGHT * WIDTH, "iscrowd": 0, "bbox": [0, 0, WIDTH, HEIGHT]}
                ],
            },
        ],
        "categories": CATEGORIES,
    }
    path.write_text(json.dumps(content))
    return path


def _write_png(path: Path, name: str, ids: np.ndarray) -> None:
    png = np.stack((ids >> 16, ids >> 8 & 255, ids & 255), axis=-1).astype(np.uint8)
    cv2.imwrite(str(path.with_suffix("") / f"{name}.png"), png)


def _change(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _segments_of_a(content: dict[str, Any]) -> list[dict[str, Any]]:
    return content["annotations"][0]["segments_info"]


def test_valid_data_set_passes_with_its_summary(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(data_set)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [
        "images 2 read, 0 not; 1 without any thing, 0 without any stuff",
        "segments 1 things, 3 stuff; 1 crowds with 1.56% of all pixels",
        "void 12.50% of all pixels",
        "category kind segments images pixels",
        "road stuff 2 2 71.88%",
        "sky stuff 1 1 12.50%",
        "car thing 1 1 1.56%",
        "dog thing 0 0 0.00%",
        f"{data_set}: no faults",
    ]


def test_images_may_be_elsewhere(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = data_set.parents[1] / "mine"
    images.rename(data_set.parents[1] / "theirs")
    assert "mine/a.jpg is missing" in _faults(data_set, capsys, number=2)[0]
    assert main([str(data_set), "--images", str(data_set.parents[1] / "theirs"), "--workers", "1"]) == 0


@pytest.mark.parametrize("name", ["annotations/panoptic_mine/a.png", "mine/b.jpg"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_corrupt_file(name: str, damage: str, data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = data_set.parents[1] / name
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[: len(content) * 3 // 4] if damage == "truncated" else b"")
    (fault,) = _faults(data_set, capsys)
    assert str(file) in fault


def test_image_and_png_of_different_size(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_png(data_set, "b", np.full((HEIGHT, WIDTH + 1), ROAD, np.int32))
    (fault,) = _faults(data_set, capsys)
    assert "b.png is 33 x 24" in fault


def test_size_in_json_is_not_the_images(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: content["images"][1].update(width=HEIGHT, height=WIDTH))
    (fault,) = _faults(data_set, capsys)
    assert "b.jpg is 32 x 24 pixels, but 24 x 32 in the JSON" in fault


def test_segment_that_json_does_not_list(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: _segments_of_a(content).pop(2))
    (fault,) = _faults(data_set, capsys)
    assert "a.png" in fault
    assert str(CAR) in fault


def test_segment_without_pixels(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment = {"id": 6, "category_id": 9, "area": 24, "bbox": [0, 0, 6, 4]}
    _change(data_set, lambda content: _segments_of_a(content).append(segment))
    (fault,) = _faults(data_set, capsys)
    assert "a.png: segment 6 of the JSON file has no pixels" in fault


def test_area_that_the_png_has_not(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: _segments_of_a(content)[2].update(area=25))
    (fault,) = _faults(data_set, capsys)
    assert f"a.png: segment {CAR} has 24 pixels, but the area 25" in fault


def test_unknown_category(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: _segments_of_a(content)[0].update(category_id=4))
    (fault,) = _faults(data_set, capsys)
    assert "a.png" in fault
    assert "category 4" in fault


def test_crowd_of_stuff(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: _segments_of_a(content)[1].update(iscrowd=1))
    (fault,) = _faults(data_set, capsys)
    assert f"a.png: segment {SKY} is a crowd, but sky is stuff" in fault


def test_segment_id_twice(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: _segments_of_a(content).append(_segments_of_a(content)[0]))
    (fault,) = _faults(data_set, capsys)
    assert f"a.png: several segments have the id {ROAD}" in fault


@pytest.mark.parametrize("segment_id", [0, -1, 256**3, "5"])
def test_impossible_segment_id(segment_id: object, data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: _segments_of_a(content)[0].update(id=segment_id))
    (fault,) = _faults(data_set, capsys)
    assert f"segment id {segment_id!r}" in fault
    assert "a.jpg" in fault


def test_image_without_annotation(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: content["annotations"].pop())
    (fault,) = _faults(data_set, capsys)
    assert "no annotation of image b.jpg" in fault


def test_annotation_without_image(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: content["images"].pop(0))
    (fault,) = _faults(data_set, capsys)
    assert "no image for annotation a.png" in fault


def test_image_id_twice(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: content["images"].append(content["images"][1] | {"file_name": "c.jpg"}))
    faults = _faults(data_set, capsys, number=2)
    assert f"{data_set} has several images with the id 2" in faults[0]
    assert "c.jpg is missing" in faults[1]


def test_two_annotations_of_an_image(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: content["annotations"].append(content["annotations"][1]))
    faults = _faults(data_set, capsys, number=2)
    assert f"{data_set} has several annotations of the image with the id 2" in faults[0]
    assert "several annotations with the file b.png" in faults[1]


@pytest.mark.parametrize("key", ["file_name", "segments_info"])
def test_annotation_lacks_a_field(key: str, data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: content["annotations"][0].pop(key))
    (fault,) = _faults(data_set, capsys)
    assert f"no {key} in the annotation of a.jpg" in fault


@pytest.mark.parametrize("key", ["width", "height"])
def test_image_lacks_its_size(key: str, data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: content["images"][0].pop(key))
    (fault,) = _faults(data_set, capsys)
    assert f"no {key} of the image a.jpg" in fault


@pytest.mark.parametrize("key", ["id", "category_id", "area", "bbox"])
def test_segment_lacks_a_field(key: str, data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: _segments_of_a(content)[0].pop(key))
    (fault,) = _faults(data_set, capsys)
    assert f"segment without {key} in the annotation of a.jpg" in fault


def test_image_lacks_its_file_name(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: content["images"][0].pop("file_name"))
    (fault,) = _faults(data_set, capsys)
    assert "no file_name for the image of a.png" in fault


def test_no_images(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(data_set, lambda content: content.update(images=[], annotations=[]))
    (fault,) = _faults(data_set, capsys)
    assert f"{data_set} has no images" in fault


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        ("{", "is not in COCO's panoptic format"),
        ("[]", "is not in COCO's panoptic format"),
        ('{"images": []}', "is not in COCO's panoptic format: KeyError('annotations')"),
    ],
)
def test_invalid_annotation_file(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "annotations.json"
    if content is not None:
        path.write_text(content)
    assert main([str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"check_data: {path}") and message in line


def test_other_numbers_of_categories_are_mentioned(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(content: dict[str, Any]) -> None:
        for entry in (
            *content["categories"],
            *(one for each in content["annotations"] for one in each["segments_info"]),
        ):
            key = "id" if "name" in entry else "category_id"
            entry[key] += 70_000

    _change(data_set, edit)
    assert main([str(data_set)]) == 0
    assert "the network and the node number the categories from 1" in capsys.readouterr().out


def test_every_fault_is_listed(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data_set.parents[1] / "mine" / "b.jpg").unlink()
    _change(data_set, lambda content: _segments_of_a(content)[1].update(iscrowd=1, area=1))
    faults = _faults(data_set, capsys, number=3)
    assert ["a.png" in fault for fault in faults] == [True, True, False]


def _faults(path: Path, capsys: pytest.CaptureFixture[str], number: int = 1) -> list[str]:
    """The lines before the summary of a check that fails."""
    capsys.readouterr()
    assert main([str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{path}: {number} {'fault' if number == 1 else 'faults'}"
    return lines[: next(i for i, line in enumerate(lines) if line.startswith("images  "))]
