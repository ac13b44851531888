# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Maps of categories: reading them, and results in other categories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ciae_ros.core.categories import Category
from ciae_ros.core.known_categories import DATA_SETS, data_set_categories
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.inference import load_model
from ciae_ros.inference.category_map import CategoryMap, CategoryMapError
from ciae_ros.inference.predictor import Predictor

OF_DATA_SETS = {"indoor": ("coco", "ade20k"), "road_scenes": DATA_SETS, "scenes": DATA_SETS}
"""Data sets that a shipped map is for; the others compare the shipped model with data sets without such a list."""
SHIPPED = sorted((Path(__file__).parents[2] / "config" / "label_maps").glob("*.yaml"))
CAR, BUS, ROAD, GRASS, SKY = (
    Category(number, name, number < 3, (9, 9, 9))
    for number, name in enumerate(("car", "bus", "road", "grass", "sky"), start=1)
)
TEXT = """
categories:
  - {id: 1, name: drivable, kind: stuff, from: [road, Grass]}
  - {id: 2, name: vehicle, kind: thing, from: [car, bus]}
"""


def written(folder: Path, text: str = TEXT) -> Path:
    path = folder / "map.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_maps_name_categories_that_exist(path: Path) -> None:
    found = CategoryMap.load(path)
    found.check_names()
    for data_set in OF_DATA_SETS.get(path.stem, ()):
        mapped = found.for_model(data_set_categories(data_set))
        assert len(mapped.targets) > 15
        assert mapped.instance_categories


@pytest.mark.parametrize("name", ["scenes", "road_scenes", "camvid", "idd_lite", "labelmefacade", "coco_streets"])
def test_shipped_maps_apply_to_the_shipped_model(name: str) -> None:
    maps = {path.stem: CategoryMap.load(path) for path in SHIPPED}
    mapped = maps[name].for_model(load_model("scenes_light").categories.categories)
    assert set(maps[name].categories.by_id) == {one.id for one in mapped.targets.values()}
    assert mapped.instance_categories


def test_the_road_map_has_all_categories_of_the_shipped_model_except_those_of_interiors() -> None:
    road = next(path for path in SHIPPED if path.stem == "road_scenes")
    mapping = CategoryMap.load(road).for_model(load_model("scenes_light").categories.categories)
    assert [one.name for one in mapping.unmapped] == ["ceiling", "furniture", "other"]


def test_segments_are_renamed_merged_and_left_out(tmp_path: Path) -> None:
    ids = np.array([[1, 2, 2], [3, 4, 5], [3, 4, 5]])
    result = panoptic_result(ids, {1: (CAR, 0.9), 2: (BUS, 0.5), 3: (ROAD, 1.0), 4: (GRASS, 0.4), 5: (SKY, 1.0)})
    mapped = CategoryMap.load(written(tmp_path)).for_model((CAR, BUS, ROAD, GRASS, SKY)).apply(result)
    assert mapped.result.label_map.tolist() == [[1, 2, 2], [3, 3, 0], [3, 3, 0]]
    assert [(one.category.name, one.area) for one in mapped.result.segments] == [
        ("vehicle", 1),
        ("vehicle", 2),
        ("drivable", 4),
    ]
    assert mapped.result.segments[2].score == pytest.approx(0.7)
    assert mapped.result.segments[2].box == (0, 1, 2, 2)
    assert not mapped.regions


def test_stuff_that_becomes_a_thing_is_one_region(tmp_path: Path) -> None:
    car, bus = (Category(one.id, one.name, False, one.color) for one in (CAR, BUS))
    result = panoptic_result(np.array([[1, 2, 3]]), {1: (car, 1.0), 2: (bus, 1.0), 3: (ROAD, 1.0)})
    mapping = CategoryMap.load(written(tmp_path)).for_model((car, bus, ROAD))
    mapped = mapping.apply(result)
    assert mapped.result.label_map.tolist() == [[1, 1, 2]]
    assert mapped.regions == {1}
    assert not mapping.instance_categories


def test_synonyms_after_a_comma_are_ignored(tmp_path: Path) -> None:
    road = Category(1, "road, route", False, (9, 9, 9))
    assert CategoryMap.load(written(tmp_path)).for_model((road,)).targets[1].name == "drivable"


def test_a_predictor_has_the_categories_of_its_map() -> None:
    road = next(path for path in SHIPPED if path.stem == "road_scenes")
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    predictor = Predictor(load_model("scenes_light"), category_map=CategoryMap.load(road))
    result = predictor.predict(image)
    own = {category.id for category in predictor.categories.categories}
    assert {segment.category.id for segment in result.segments} <= own
    assert result.segments
    plain = Predictor(load_model("scenes_light")).predict(image)
    names = [one.category.name for one in plain.segments]
    assert [one.category.name for one in result.segments] == names


MISTAKES = {
    "no such file": (None, "cannot be read"),
    "not YAML": ("categories: [", "cannot be read"),
    "no categories": ("things: []", "is not a map of categories"),
    "a list": ("- 1", "is not a map of categories"),
    "no kind": ("categories: [{id: 1, name: a, from: [road]}]", "is not a map of categories"),
    "no list": ("categories: [{id: 1, name: a, kind: stuff, from: road}]", "must be a list"),
    "unknown kind": ("categories: [{id: 1, name: a, kind: both, from: [road]}]", "must be stuff or thing"),
    "only stuff": ("categories: [{id: 1, name: a, kind: stuff, from: [road]}]", "at least one stuff and one thing"),
    "id twice": (TEXT.replace("id: 2", "id: 1"), "ids are repeated"),
    "id too large": (TEXT.replace("id: 2", "id: 70000"), "ids must be in"),
    "name twice": (TEXT.replace("bus", "road"), "'road' becomes two categories"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(mistake: str, tmp_path: Path) -> None:
    text, expected = MISTAKES[mistake]
    path = tmp_path / "missing.yaml" if text is None else written(tmp_path, text)
    with pytest.raises(CategoryMapError, match=expected) as caught:
        CategoryMap.load(path)
    assert "\n" not in str(caught.value)


def test_misspelt_names_and_other_categories_are_refused(tmp_path: Path) -> None:
    misspelt = CategoryMap.load(written(tmp_path, TEXT.replace("road", "raod")))
    with pytest.raises(CategoryMapError, match="'raod', which no model"):
        misspelt.check_names((CAR,))
    with pytest.raises(CategoryMapError, match=r"none of the model's 1 categories \(sky"):
        misspelt.for_model((SKY,))
