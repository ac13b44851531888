# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The shipped model, and models by name."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from ciae_ros.inference import DEFAULT_MODEL, UNTRAINED, CheckpointError, Predictor, load_model
from ciae_ros.inference.category_map import CategoryMap
from ciae_ros.inference.loading.named_models import shipped_models

ROOT = Path(__file__).parents[3]
TEST_IMAGES = 6


def test_default_model_is_shipped_with_its_card() -> None:
    path = shipped_models()[DEFAULT_MODEL]
    assert path.stat().st_size < 25e6
    card = path.with_suffix(".md").read_text()
    assert all(word in card for word in ("CC BY-NC", "mIoU", "training.train", "Limits"))
    checkpoint = load_model(DEFAULT_MODEL)
    assert checkpoint.digest != UNTRAINED
    things = ["car", "truck", "person", "bicycle", "motorcycle", "animal"]
    assert [category.name for category in checkpoint.categories.things] == things
    scenes = CategoryMap.load(ROOT / "config" / "label_maps" / "scenes.yaml")
    assert checkpoint.categories == scenes.categories


def test_default_model_knows_a_road_when_it_sees_one(data: Path) -> None:
    """On some test images of CamVid, more than half of the pixels of each class are correct."""
    camvid = CategoryMap.load(ROOT / "config" / "label_maps" / "camvid.yaml")
    predictor = Predictor(load_model(DEFAULT_MODEL), category_map=camvid)
    folder = data / "camvid_480x360"
    paths = sorted((folder / "test").glob("*.jpg"))
    right, of_class, cars = np.zeros(13), np.zeros(13), 0
    for path in paths[:: len(paths) // TEST_IMAGES]:
        result = predictor.predict(cv2.imread(str(path)), "bgr")
        truth = cv2.imread(str(folder / "testannot" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE) + 1
        right += np.bincount(truth[truth == result.semantic_map()], minlength=13)
        of_class += np.bincount(truth.ravel(), minlength=13)
        cars += sum(segment.category.name == "car" for segment in result.segments)
    share = dict(enumerate(right / np.maximum(of_class, 1)))
    sky, building, road, pavement, tree, car = (share[index] for index in (1, 2, 4, 5, 6, 9))
    assert min(sky, building, road, pavement, tree, car) > 0.5, share
    assert cars >= TEST_IMAGES


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "no model: give the path"),
        ("untrained/r18", "preset 'r18' does not exist"),
        ("no_such_model", "no model is called 'no_such_model': give scenes_light"),
    ],
)
def test_other_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_model(name)
