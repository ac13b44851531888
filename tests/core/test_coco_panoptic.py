# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reading and writing of COCO's panoptic format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import PanopticAnnotations, check_png_names, write_results
from ciae_ros.inference import Category, PanopticResult, Segment
from tests.training.synthetic import CAR, PERSON, ROAD, SKY, change_category_ids, scene, write_split


def test_real_annotations_agree_with_their_segments(data: Path) -> None:
    path = data / "coco_panoptic_mini" / "annotations" / "panoptic_val2017.json"
    annotations = PanopticAnnotations.load(path)
    assert len(annotations.categories.things) == 80
    for image_id in list(annotations.annotations)[:5]:
        ids = annotations.segment_ids(image_id)
        for info in annotations.annotations[image_id]["segments_info"]:
            assert (ids == info["id"]).sum() == info["area"]


def test_results_are_read_back(data: Path, tmp_path: Path) -> None:
    truth = PanopticAnnotations.load(data / "coco_panoptic_mini" / "annotations" / "panoptic_val2017.json")
    image_id = next(iter(truth.images))
    labels = np.zeros((4, 600), np.uint16)
    labels[:2] = 300
    segment = Segment(300, truth.categories.things[0], 0.5, 1200, (0, 0, 600, 2), (299.5, 0.5))
    write_results([(image_id, "a.png", PanopticResult(labels, (segment,)))], tmp_path / "results.json", truth)
    written = PanopticAnnotations.load(tmp_path / "results.json")
    assert np.array_equal(written.segment_ids(image_id), labels)
    (info,) = written.annotations[image_id]["segments_info"]
    assert (info["id"], info["category_id"], info["area"]) == (300, truth.categories.things[0].id, 1200)


def test_missing_png_is_named(data: Path, tmp_path: Path) -> None:
    path = data / "coco_panoptic_mini" / "annotations" / "panoptic_val2017.json"
    copy = tmp_path / "copy.json"
    copy.write_text(path.read_text())
    annotations = PanopticAnnotations.load(copy)
    with pytest.raises(ValueError, match=r"copy/\d+\.png is missing"):
        annotations.segment_ids(next(iter(annotations.annotations)))


def test_truncated_png_is_named(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    copy.write_text((data / "coco_panoptic_mini" / "annotations" / "panoptic_val2017.json").read_text())
    annotations = PanopticAnnotations.load(copy)
    image_id, entry = next(iter(annotations.annotations.items()))
    annotations.png_folder.mkdir()
    png = cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    (annotations.png_folder / entry["file_name"]).write_bytes(png[:30])
    with pytest.raises(ValueError, match="is corrupt"):
        annotations.segment_ids(image_id)


def test_other_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(ValueError, match="not in COCO's panoptic format"):
        PanopticAnnotations.load(path)


@pytest.fixture
def tiny(tmp_path: Path) -> PanopticAnnotations:
    return write_split(tmp_path / "data", {number: scene(number) for number in (1, 2, 3)})


def edited(annotations: PanopticAnnotations, edit: Callable[[dict[str, Any]], object]) -> PanopticAnnotations:
    content = json.loads(annotations.path.read_text())
    edit(content)
    annotations.path.write_text(json.dumps(content))
    return PanopticAnnotations.load(annotations.path)


def from_zero(content: dict[str, Any]) -> None:
    change_category_ids(content, {ROAD: 0, SKY: 1, CAR: 2, PERSON: 3})


def test_categories_from_zero_are_numbered_from_one(tiny: PanopticAnnotations, tmp_path: Path) -> None:
    numbered = edited(tiny, from_zero)
    names = {category.id: category.name for category in tiny.categories.categories}
    for image_id, annotation in numbered.annotations.items():
        before = tiny.annotations[image_id]["segments_info"]
        for segment, original in zip(annotation["segments_info"], before, strict=True):
            assert numbered.categories.by_id[segment["category_id"]].name == names[original["category_id"]]
    # Results have the ids of the data set.
    labels = np.full((60, 80), 1, np.uint16)
    road = numbered.categories.stuff[0]
    result = PanopticResult(labels, (Segment(1, road, 1.0, 4800, (0, 0, 80, 60), (39.5, 29.5)),))
    write_results([(1, "0001.png", result)], tmp_path / "results.json", numbered)
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["annotations"][0]["segments_info"][0]["category_id"] == 0
    assert [(one["id"], one["name"]) for one in content["categories"]] == [
        (0, "road"),
        (1, "sky"),
        (2, "car"),
        (3, "person"),
    ]


def test_an_unknown_category_is_refused_when_ids_are_numbered(tiny: PanopticAnnotations) -> None:
    def edit(content: dict[str, Any]) -> None:
        from_zero(content)
        content["annotations"][0]["segments_info"][0]["category_id"] = 9

    with pytest.raises(ValueError, match=r"segment \d+ of 0001.png has category 9, unknown to the data set"):
        edited(tiny, edit)


def test_a_category_that_the_data_set_lacks_is_not_in_results(tiny: PanopticAnnotations, tmp_path: Path) -> None:
    labels = np.full((60, 80), 1, np.uint16)
    labels[:30] = 2
    other = Category(99, "unused thing", True, (1, 2, 3))
    segments = (
        Segment(1, other, 0.9, 2400, (0, 30, 80, 30), (39.5, 44.5)),
        Segment(2, tiny.categories.stuff[0], 1.0, 2400, (0, 0, 80, 30), (39.5, 14.5)),
    )
    write_results([(1, "0001.png", PanopticResult(labels, segments))], tmp_path / "results.json", tiny)
    written = PanopticAnnotations.load(tmp_path / "results.json")
    assert np.array_equal(written.segment_ids(1), np.where(labels == 1, 0, 2))
    assert [segment["id"] for segment in written.annotations[1]["segments_info"]] == [2]


def test_images_are_ordered_by_id_and_names_follow_numbers(tiny: PanopticAnnotations) -> None:
    def edit(content: dict[str, Any]) -> None:
        for number, new in ((0, "ulm_1"), (1, "bonn_2"), (2, 5)):
            content["images"][number]["id"] = content["annotations"][number]["image_id"] = new

    assert edited(tiny, edit).annotated == [5, "bonn_2", "ulm_1"]


def test_folders_are_separated_by_slashes(tiny: PanopticAnnotations, tmp_path: Path) -> None:
    (tiny.png_folder / "ulm").mkdir()
    (tiny.png_folder / "0001.png").rename(tiny.png_folder / "ulm" / "0001.png")

    def edit(content: dict[str, Any]) -> None:
        content["annotations"][0]["file_name"] = "ulm\\0001.png"

    found = edited(tiny, edit)
    assert np.array_equal(found.segment_ids(1), scene(1)[0])
    result = PanopticResult(np.zeros((60, 80), np.uint16), ())
    write_results([(1, found.annotations[1]["file_name"], result)], tmp_path / "results.json", found)
    assert (tmp_path / "results" / "ulm" / "0001.png").is_file()


@pytest.mark.parametrize("name", ["/etc/0001.png", "../0001.png", "ulm/../../0001.png"])
def test_pngs_outside_of_their_folder_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not in the folder truth"):
        check_png_names([{"file_name": "a/0000.png"}, {"file_name": name}], Path("truth.json"))


def test_an_annotation_without_a_png_is_named() -> None:
    with pytest.raises(ValueError, match=r"truth.json: the annotation of image 'ulm' has no file_name"):
        check_png_names([{"image_id": "ulm"}], Path("truth.json"))
