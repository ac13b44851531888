# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Labels of teachers that agree with coarser annotations of the images."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.coco_panoptic import PanopticAnnotations, write_segment_ids
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.inference.category_map import CategoryMap
from tests.training.labeling.recordings import write_folder, write_teacher
from training.label import main
from training.labeling.annotated import Annotated
from training.labeling.labels import Labels
from training.labeling.voting import Thresholds, Vote, combine

COLOR = (9, 9, 9)
ROAD, GROUND, BUILDING, TREE = (
    Category(number, name, False, COLOR) for number, name in enumerate(("road", "grass", "building", "tree"), start=1)
)
CAR, TRUCK, PERSON = (Category(number, name, True, COLOR) for number, name in ((5, "car"), (6, "truck"), (7, "person")))
OWN = CategorySet((ROAD, GROUND, BUILDING, TREE, CAR, TRUCK, PERSON))
CLASSES = {
    "drivable": [ROAD],
    "beyond": [BUILDING, TREE],
    "vehicle": [CAR, TRUCK],
    "verge": [GROUND],
    "people": [PERSON],
}
THINGS = ("vehicle", "people")
LOW = Thresholds(min_area=1)
WIDTH = 4
"""Pixels of an element of a row in these tests."""


def annotated_folder(folder: Path, rows: list[list[int]], name: str = "000") -> Annotated:
    """Return annotations with the classes 1 drivable, 2 beyond, 3 vehicle, 4 verge, 5 people, and 0 void."""
    path = folder / "panoptic_train.json"
    path.with_suffix("").mkdir(parents=True)
    ids = np.repeat(np.array(rows), WIDTH, axis=1)
    write_segment_ids(path.with_suffix("") / f"{name}.png", ids)
    names = list(CLASSES)
    segments = [
        {
            "id": int(number),
            "category_id": int(number),
            "area": int((ids == number).sum()),
            "bbox": list(cv2.boundingRect((ids == number).astype(np.uint8))),
            "iscrowd": 0,
        }
        for number in np.unique(ids[ids > 0])
    ]
    content = {
        "images": [{"id": 1, "file_name": f"{name}.jpg", "height": ids.shape[0], "width": ids.shape[1]}],
        "annotations": [{"image_id": 1, "file_name": f"{name}.png", "segments_info": segments}],
        "categories": [
            {"id": number, "name": one, "isthing": int(one in THINGS), "color": COLOR}
            for number, one in enumerate(names, start=1)
        ],
    }
    path.write_text(json.dumps(content))
    return Annotated(path, comparison(folder), OWN)


def comparison(folder: Path) -> CategoryMap:
    entries = [
        {
            "id": number,
            "name": name,
            "kind": "thing" if name in THINGS else "stuff",
            "color": list(COLOR),
            "from": [name, *(one.name for one in categories)],
        }
        for number, (name, categories) in enumerate(CLASSES.items(), start=1)
    ]
    path = folder / "comparison.yaml"
    path.write_text(yaml.safe_dump({"categories": entries}))
    return CategoryMap.load(path)


def vote(rows: list[list[int]], *objects: Category, regions: frozenset[int] = frozenset()) -> Vote:
    """Return a vote with ids 1 road, 2 grass, 3 building, 4 tree, then those of objects, and 0 unlabelled."""
    contents = {one.id: (one, 1.0) for one in (ROAD, GROUND, BUILDING, TREE)}
    contents |= {number: (one, 0.9) for number, one in enumerate(objects, start=5)}
    result = panoptic_result(np.repeat(np.array(rows), WIDTH, axis=1), contents)
    return Vote(result, regions, frozenset({CAR.id, TRUCK.id}), is_base=True)


def combined(annotated: Annotated, *votes: Vote) -> Labels:
    return combine(annotated.of_image("000.png").limit(votes), LOW)


def names(labels: Labels) -> list[list[str]]:
    by_id = {0: "-"} | {one.id: f"{one.category.name}{'*' * one.is_crowd}" for one in labels.segments}
    return [[by_id[int(value)] for value in row[::WIDTH]] for row in labels.ids]


def test_a_class_with_one_category_is_certain(tmp_path: Path) -> None:
    annotated = annotated_folder(tmp_path, [[1, 1, 4]])
    assert names(combined(annotated, vote([[4, 0, 1]]))) == [["road", "road", "grass"]]


def test_teachers_choose_among_the_categories_of_a_class(tmp_path: Path) -> None:
    annotated = annotated_folder(tmp_path, [[2, 2, 2, 2]])
    labels = combined(annotated, vote([[3, 4, 1, 0]]))
    assert names(labels) == [["building", "tree", "-", "-"]]
    # A vote that the annotation refutes does not count.
    assert names(combined(annotated, vote([[3, 4, 1, 1]]), vote([[3, 3, 4, 1]]))) == [["building", "-", "tree", "-"]]


def test_where_the_annotation_is_void_the_teachers_decide(tmp_path: Path) -> None:
    annotated = annotated_folder(tmp_path, [[0, 0, 1]])
    assert names(combined(annotated, vote([[2, 5, 5]], CAR))) == [["grass", "car", "road"]]


def test_an_object_is_cut_and_extended_to_the_annotation(tmp_path: Path) -> None:
    annotated = annotated_folder(tmp_path, [[1, 3, 3, 3, 3], [1, 1, 3, 3, 2]])
    # The teacher takes part of the car for road; its box ends before the last column.
    labels = combined(annotated, vote([[1, 5, 1, 5, 1], [5, 5, 5, 5, 3]], CAR))
    assert names(labels) == [["road", "car", "car", "car", "-"], ["road", "road", "car", "car", "building"]]
    assert len([one for one in labels.segments if one.category == CAR]) == 1


def test_an_object_is_not_extended_to_another_kind_of_things(tmp_path: Path) -> None:
    annotated = annotated_folder(tmp_path, [[3, 5, 3], [3, 3, 3]])
    # The teacher does not see the person in front of the car.
    assert names(combined(annotated, vote([[5, 0, 5], [5, 5, 5]], CAR))) == [["car", "person*", "car"], ["car"] * 3]


def test_of_two_objects_the_smaller_one_takes_the_pixels_in_both_boxes(tmp_path: Path) -> None:
    annotated = annotated_folder(tmp_path, [[3, 3, 3, 3], [3, 3, 3, 3]])
    labels = combined(annotated, vote([[5, 5, 5, 0], [5, 6, 0, 6]], CAR, TRUCK))
    assert names(labels) == [["car", "car", "car", "-"], ["car", "truck", "truck", "truck"]]


def test_regions_of_a_teacher_stay_regions(tmp_path: Path) -> None:
    annotated = annotated_folder(tmp_path, [[1, 3, 3]])
    # Segment 1 of the vote does not agree, so that the others are renumbered.
    region = vote([[3, 5, 5]], CAR, regions=frozenset({2}))
    assert names(combined(annotated, region)) == [["road", "car*", "car*"]]


@pytest.mark.parametrize(
    ("rows", "name", "message"),
    [([[1, 1], [1, 1]], "000", "an annotation has 8 x 2 pixels, its image 8 x 1"), ([[1, 1]], "111", "no annotation")],
)
def test_images_without_fitting_annotation_are_refused(
    tmp_path: Path, rows: list[list[int]], name: str, message: str
) -> None:
    annotated = annotated_folder(tmp_path, rows, name)
    with pytest.raises(ValueError, match=message):
        combined(annotated, vote([[1, 1]]))


def test_a_class_that_no_label_agrees_with_is_refused(tmp_path: Path) -> None:
    annotated_folder(tmp_path, [[1, 1]])
    with pytest.raises(ValueError, match="no category of the labels agrees with 'beyond'"):
        Annotated(tmp_path / "panoptic_train.json", comparison(tmp_path), CategorySet((ROAD, GROUND, CAR)))


def test_the_command_completes_annotations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The teacher sees a car on a road; the annotation knows only what is drivable, and a truck instead of the car."""
    write_folder(tmp_path / "images", 2)
    own = {
        "road": ("stuff", ["road"]),
        "air": ("stuff", ["sky"]),
        "automobile": ("thing", ["car"]),
    }
    coarse = {"below": ["below", "road", "automobile"], "above": ["above", "air"]}
    for name, entries in {"own": own, "coarse": {one: ("stuff", found) for one, found in coarse.items()}}.items():
        categories = [
            {"id": number, "name": one, "kind": kind, "color": list(COLOR), "from": found}
            for number, (one, (kind, found)) in enumerate(entries.items(), start=1)
        ]
        if name == "coarse":
            categories.append({"id": 3, "name": "object", "kind": "thing", "color": list(COLOR), "from": ["object"]})
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"categories": categories}))
    truth = tmp_path / "truth" / "panoptic_train.json"
    truth.with_suffix("").mkdir(parents=True)
    ids = np.ones((96, 128), np.int32)
    ids[:30] = 2  # The teacher sees sky down to row 48.
    infos = [{"id": one, "category_id": one, "area": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0} for one in (1, 2)]
    images, entries = [], []
    for number in range(2):
        write_segment_ids(truth.with_suffix("") / f"{number:03d}.png", ids)
        images.append({"id": number, "file_name": f"{number:03d}.png", "height": 96, "width": 128})
        entries.append({"image_id": number, "file_name": f"{number:03d}.png", "segments_info": infos})
    names_of = [{"id": one, "name": name, "isthing": 0, "color": COLOR} for one, name in ((1, "below"), (2, "above"))]
    names_of.append({"id": 3, "name": "object", "isthing": 1, "color": COLOR})
    truth.write_text(json.dumps({"images": images, "annotations": entries, "categories": names_of}))
    command = [str(tmp_path / "images"), "--teacher", str(write_teacher(tmp_path)), "--min-change", "0"]
    command += ["--map", str(tmp_path / "own.yaml"), "--output", str(tmp_path / "labels")]
    assert main([*command, "--annotations", str(truth)]) == 1
    assert "--annotations needs --annotations-map and --map" in capsys.readouterr().err
    command += ["--annotations-map", str(tmp_path / "coarse.yaml"), "--annotations", str(truth)]
    assert main(command) == 1
    assert "no category of the labels agrees with 'object'" in capsys.readouterr().err
    names_of[2]["name"] = "automobile"
    coarse_map = yaml.safe_load((tmp_path / "coarse.yaml").read_text())
    coarse_map["categories"][2]["from"] = ["automobile"]
    coarse_map["categories"][0]["from"] = ["below", "road"]
    (tmp_path / "coarse.yaml").write_text(yaml.safe_dump(coarse_map))
    truth.write_text(json.dumps({"images": images, "annotations": entries, "categories": names_of}))
    assert main(command) == 0
    found = PanopticAnnotations.load(tmp_path / "labels" / "annotations" / "panoptic_train.json")
    image_id = found.annotated[0]
    categories_of = {
        one["id"]: found.categories.by_id[one["category_id"]].name
        for one in found.annotations[image_id]["segments_info"]
    }
    labels = found.segment_ids(image_id)
    assert {categories_of[one] for one in np.unique(labels[:30])} == {"air"}
    assert {categories_of[one] for one in np.unique(labels[30:])} == {"road"}
    # With other annotations the labels would differ, so that the data set is not continued.
    truth.write_text(truth.read_text() + " ")
    assert main(command) == 1
    assert "labelled with different settings" in capsys.readouterr().err
