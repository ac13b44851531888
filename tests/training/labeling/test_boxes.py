# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Instances from semantic maps and boxes, and the example that joins two networks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult
from training.labeling.boxes import Box, join
from training.labeling.teacher import check_result, load_teacher

EXAMPLE = Path(__file__).parents[3] / "examples" / "mosaic_and_yolox.py"
CAR = Category(1, "car", True, (9, 9, 9))
BOAT = Category(2, "boat", True, (9, 9, 9))
REGIONS = {5: Category(10, "car", False, (9, 9, 9)), 6: Category(11, "road", False, (9, 9, 9))}
CLASSES = {CAR.id: frozenset({5}), BOAT.id: frozenset({0})}


def rows(result: PanopticResult) -> list[list[str]]:
    names = {0: "-"}
    for one in result.segments:
        names[one.id] = f"{one.category.name}{one.score}" if one.category.is_thing else one.category.name
    return [[names[int(value)] for value in row] for row in result.label_map]


def test_a_box_contains_the_pixels_of_its_class() -> None:
    semantic = np.array([[6, 5, 5, 6], [6, 5, 5, 5]])
    result = join(semantic, REGIONS, [Box(CAR, 0.8, (1.0, 0.0, 3.0, 2.0))], CLASSES)
    assert rows(result) == [["road", "car0.8", "car0.8", "road"], ["road", "car0.8", "car0.8", "car"]]


def test_a_pixel_in_two_boxes_belongs_to_the_nearer_centre() -> None:
    semantic = np.full((2, 8), 5)
    boxes = [Box(CAR, 0.9, (0.0, 0.0, 5.0, 2.0)), Box(CAR, 0.8, (3.0, 0.0, 8.0, 2.0))]
    assert rows(join(semantic, REGIONS, boxes, CLASSES))[0] == ["car0.9"] * 4 + ["car0.8"] * 4


def test_boxes_without_enough_pixels_are_no_objects() -> None:
    semantic = np.full((4, 4), 6)
    semantic[0, 0] = 5
    result = join(semantic, REGIONS, [Box(CAR, 0.9, (0.0, 0.0, 4.0, 4.0))], CLASSES)
    assert rows(result)[0] == ["car", "road", "road", "road"]


def test_objects_of_classes_that_the_map_does_not_have() -> None:
    semantic = np.array([[6, 0, 0, 0]])
    result = join(semantic, REGIONS, [Box(BOAT, 0.7, (1.0, 0.0, 3.0, 1.0))], CLASSES)
    assert rows(result) == [["road", "boat0.7", "boat0.7", "-"]]


def test_boxes_outside_of_the_image_and_empty_ones() -> None:
    boxes = [Box(CAR, 0.9, (9.0, 9.0, 12.0, 12.0)), Box(CAR, 0.9, (1.0, 0.0, 1.0, 0.0))]
    assert rows(join(np.full((1, 2), 6), REGIONS, boxes, CLASSES)) == [["road", "road"]]


def test_the_example_joins_two_real_networks(data: Path) -> None:
    for package in ("ai_edge_litert", "ncnn"):
        pytest.importorskip(package, reason="needs requirements-dev.txt")
    folder = data / "teachers"
    (teacher,) = load_teacher(f"{EXAMPLE}?mosaic={folder / 'mosaic_r4.tflite'}&yolox={folder / 'yolox-nano'}", "cpu")
    video = cv2.VideoCapture(str(data / "video" / "udacity_vehicle_test_video.mp4"))
    image = video.read()[1]
    (result,) = teacher.label([image])
    check_result(teacher, result, image)
    cars = [one for one in result.segments if one.category.name == "car" and one.category.is_thing]
    assert sorted(round(one.centroid[0], -2) for one in cars) == [900, 1100]
    assert all(one.score > 0.8 for one in cars)
    largest = sorted(result.segments, key=lambda one: -one.area)[:3]
    assert {one.category.name for one in largest} == {"sky", "road", "tree"}
