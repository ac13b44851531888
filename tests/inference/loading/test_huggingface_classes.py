# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Categories, input formats and references of models in the Hugging Face layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ciae_ros.core.known_categories import coco_categories
from ciae_ros.inference import CheckpointError
from ciae_ros.inference.loading.huggingface.classes import Classes, read_classes
from ciae_ros.inference.loading.huggingface.preprocessing_config import read_input_format
from ciae_ros.inference.loading.huggingface.reference import (
    ModelReference,
    is_reference,
    parse_reference,
    with_absolute_paths,
)

MODEL = ModelReference("owner/name", is_on_hub=True)


def labels(*names: str) -> dict[str, Any]:
    return {"id2label": {str(number): name for number, name in enumerate(names)}}


def classes_of(config: dict[str, Any], preprocessing: dict[str, Any] | None = None, **options: Any) -> Classes:
    reference = ModelReference("owner/name", is_on_hub=True, **options)
    return read_classes(config, preprocessing or {}, len(config.get("id2label", {})), reference)


def names(classes: Classes) -> tuple[list[str], list[str]]:
    categories = classes.categories
    return [category.name for category in categories.things], [category.name for category in categories.stuff]


def test_names_of_coco_get_its_ids_and_things() -> None:
    coco = coco_categories()
    order = sorted(coco.categories, key=lambda category: category.id)
    found = classes_of(labels(*(category.name for category in order)))
    assert found.categories == coco
    assert [found.categories.categories[index].id for index in found.category_of_class] == [c.id for c in order]
    assert (len(found.categories.things), len(found.categories.stuff)) == (80, 53)


def test_classes_that_are_numbered_like_coco_with_gaps_are_skipped() -> None:
    """As in DETR's panoptic models: class 12 and the last ones have no meaning."""
    by_id = coco_categories().by_id
    given = [by_id[number].name if number in by_id else f"LABEL_{number}" for number in range(250)]
    given[12] = "N/A"
    found = classes_of(labels(*given))
    assert found.categories == coco_categories()
    assert [number for number, index in enumerate(found.category_of_class) if index >= 0] == sorted(by_id)
    assert all(
        found.categories.categories[index].id == number
        for number, index in enumerate(found.category_of_class)
        if index >= 0
    )


def test_names_of_cityscapes_get_its_ids() -> None:
    found = classes_of(labels("road", "sidewalk", "vegetation", "terrain", "sky", "person", "rider", "car"))
    assert names(found) == (["person", "rider", "car"], ["road", "sidewalk", "vegetation", "terrain", "sky"])
    assert [category.id for category in found.categories.categories] == [7, 8, 21, 22, 23, 24, 25, 26]


def test_synonyms_of_ade20k_are_recognised_by_their_places() -> None:
    from ciae_ros.core.known_categories import data_set_categories  # noqa: PLC0415

    ade20k = data_set_categories("ade20k")
    given = [category.name for category in ade20k]
    given[8], given[6], given[89] = "windowpane", "road, route", "television receiver"
    found = classes_of(labels(*given))
    assert (len(found.categories.things), len(found.categories.stuff)) == (100, 50)
    assert [found.categories.categories[index].id for index in found.category_of_class] == list(range(1, 151))
    assert "windowpane" not in names(found)[0]


OWN = labels("background field", "weed", "crop")


@pytest.mark.parametrize("content", ["- weed\n- crop\n", "- 1\n- 2\n", "[weed, 2]"])
def test_things_are_given_in_a_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "things.yaml").write_text(content)
    found = classes_of(OWN, things=tmp_path / "things.yaml")
    assert names(found) == (["weed", "crop"], ["background field"])
    assert [category.id for category in found.categories.categories] == [1, 2, 3]
    assert found.category_of_class == (0, 1, 2)


@pytest.mark.parametrize(
    ("config", "preprocessing"),
    [
        ({"stuff_classes": [0]}, {}),
        ({}, {"label_ids_to_fuse": [0]}),
        ({"stuff_classes": [0]}, {"metadata": ["background field", "weed", "crop"]}),
        ({}, {"metadata": {"thing_ids": [1, 2], "class_names": ["background field", "weed", "crop"]}}),
    ],
)
def test_things_are_stated_by_the_model(config: dict[str, Any], preprocessing: dict[str, Any]) -> None:
    assert names(classes_of(OWN | config, preprocessing)) == (["weed", "crop"], ["background field"])


def test_a_file_outranks_what_the_model_states(tmp_path: Path) -> None:
    (tmp_path / "things.yaml").write_text("[weed]")
    found = classes_of(OWN | {"stuff_classes": [0]}, things=tmp_path / "things.yaml")
    assert names(found) == (["weed"], ["background field", "crop"])


@pytest.mark.parametrize("unlabelled", ["unlabeled", "Unlabelled", "void", "N/A", "no object", "LABEL_0"])
def test_an_unlabelled_class_has_no_category(unlabelled: str) -> None:
    found = classes_of(labels(unlabelled, "weed", "soil") | {"stuff_classes": [2]})
    assert found.category_of_class[0] == -1
    assert names(found) == (["weed"], ["soil"])


def test_two_classes_of_one_name_are_one_category() -> None:
    assert classes_of(labels("car", "road", "car")).category_of_class == (1, 0, 1)


@pytest.mark.parametrize(
    ("config", "things", "message"),
    [
        (OWN, None, r"hf://owner/name does not say which of its 3 classes are things: .* append \?things=FILE"),
        ({}, None, "does not name its classes: add id2label to its config.json"),
        (labels("LABEL_0", "LABEL_1"), None, "does not name its classes"),
        (labels("person", "car"), None, "is not a panoptic model .* 2 thing and 0 stuff classes"),
        (
            OWN,
            "[tree]",
            "names 'tree', which is not a class of the model; its classes are background field, weed, crop",
        ),
        (OWN, "[7]", "names 7, which is not a class of the model"),
        (OWN, "[yes]", "names True, which is not a class of the model"),
        (OWN, "[{weed: 1}]", "names {'weed': 1}, which is not a class of the model"),
        (OWN, "weed: 1", "is not a YAML list: write one name or number"),
        (OWN, "[", r"things.yaml cannot be read .*: give a YAML list of the names of things"),
        (OWN, "[weed, crop, background field]", "3 thing and 0 stuff classes; choose one that has both"),
    ],
)
def test_missing_and_wrong_information_is_asked_for(
    tmp_path: Path, config: dict[str, Any], things: str | None, message: str
) -> None:
    if things is not None:
        (tmp_path / "things.yaml").write_text(things)
    with pytest.raises(CheckpointError, match=message) as refused:
        classes_of(config, things=tmp_path / "things.yaml" if things is not None else None)
    assert "\n" not in str(refused.value)


def test_a_missing_file_of_things_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"missing\.yaml cannot be read .*No such file"):
        classes_of(OWN, things=tmp_path / "missing.yaml")


def format_of(size: Any, divisor: int = 32, is_square: bool = False, **preprocessing: Any) -> Any:
    content = preprocessing | ({} if size is None else {"size": size})
    return read_input_format(content, (800, 1333), divisor, is_square, MODEL)


@pytest.mark.parametrize(
    ("size", "options", "image", "resized", "padded"),
    [
        (None, {}, (600, 800), (800, 1067), (800, 1088)),
        ({"shortest_edge": 512, "longest_edge": 2048}, {}, (512, 512), (512, 512), (512, 512)),
        ({"shortest_edge": 512, "longest_edge": 600}, {}, (512, 1024), (300, 600), (320, 608)),
        ({"shortest_edge": 480}, {"max_size": 500}, (300, 600), (250, 500), (256, 512)),
        (480, {"max_size": 500}, (300, 600), (250, 500), (256, 512)),
        ({"height": 384, "width": 384}, {}, (600, 800), (384, 384), (384, 384)),
        (
            {"shortest_edge": 640, "longest_edge": 640},
            {"is_square": True, "divisor": 16},
            (480, 640),
            (480, 640),
            (640,) * 2,
        ),
        (
            {"shortest_edge": 640, "longest_edge": 640},
            {"is_square": True, "divisor": 16},
            (90, 45),
            (640, 320),
            (640,) * 2,
        ),
        (None, {"divisor": 1}, (600, 800), (800, 1067), (800, 1067)),
    ],
)
def test_images_are_resized_as_the_model_states(
    size: Any, options: dict[str, Any], image: tuple[int, int], resized: tuple[int, int], padded: tuple[int, int]
) -> None:
    geometry = format_of(size, **options).geometry(*image)
    assert (geometry.resized, geometry.padded) == (resized, padded)


def test_an_input_size_restores_the_aspect_ratio() -> None:
    stretched = format_of({"height": 384, "width": 384})
    assert stretched.at_input_size(800).geometry(600, 800).resized == (800, 1067)
    assert stretched.at_input_size(800).max_input_size == 1333


def test_normalisation_is_that_of_the_model() -> None:
    found = format_of(None, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.1, 0.5])
    assert found.pixel_mean == pytest.approx((127.5, 102, 76.5))
    assert found.pixel_std == pytest.approx((51, 25.5, 127.5))
    assert format_of(None, do_normalize=False).pixel_std == pytest.approx((255,) * 3)
    unscaled = format_of(None, do_rescale=False, image_mean=[100, 110, 120], image_std=[50, 60, 70])
    assert unscaled.pixel_mean == (100, 110, 120)
    assert format_of(None).pixel_mean == (123.675, 116.28, 103.53)


@pytest.mark.parametrize(
    ("size", "preprocessing"),
    [
        ({"max_height": 3}, {}),
        ("800", {}),
        (None, {"image_mean": [0.5], "image_std": [0.5]}),
        (None, {"image_mean": [0.5] * 3, "image_std": [0, 1, 1]}),
        (None, {"image_mean": [0.5] * 3}),
    ],
)
def test_formats_that_are_not_supported_are_refused(size: Any, preprocessing: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json that is not supported"):
        format_of(size, **preprocessing)


def test_squares_must_consist_of_whole_patches() -> None:
    with pytest.raises(CheckpointError, match="takes images of 650 pixels, which is no multiple of 16"):
        format_of({"shortest_edge": 650, "longest_edge": 650}, 16, is_square=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf://a/b", ModelReference("a/b", True)),
        ("hf://a/b@v1", ModelReference("a/b", True, "v1")),
        ("hf://a/b?things=/t.yaml", ModelReference("a/b", True, None, Path("/t.yaml"))),
        ("hf://a/b@v1?base=hf://c/d@e", ModelReference("a/b", True, "v1", None, "hf://c/d@e")),
        ("/models/x?things=t.yaml", ModelReference("/models/x", False, None, Path("t.yaml"))),
    ],
)
def test_references_are_parsed(name: str, expected: ModelReference) -> None:
    assert parse_reference(name) == expected


@pytest.mark.parametrize("name", ["hf://a", "hf://a/b/c", "hf:///b", "hf://a/b@", "hf://a/b?thing=x", "hf://a/b?x"])
def test_other_references_are_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"use hf://OWNER/NAME\[@REVISION\] or a folder"):
        parse_reference(name)


def test_folders_are_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    assert is_reference("model") and is_reference("model?things=t.yaml") and is_reference("hf://a/b")
    assert not is_reference("") and not is_reference("scenes_light") and not is_reference("model.safetensors")
    assert with_absolute_paths("model?things=t.yaml") == f"{tmp_path}/model?things={tmp_path}/t.yaml"
    assert with_absolute_paths("hf://a/b@c?base=model") == f"hf://a/b@c?base={tmp_path}/model"
    assert with_absolute_paths("hf://a/b?base=hf://c/d") == "hf://a/b?base=hf://c/d"
