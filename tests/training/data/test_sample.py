# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reading of annotated images, compared with a literal implementation with Pillow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from tests.training.synthetic import CAR, PERSON, ROAD, SKY, scene, write_split
from training.data.sample import CROWD, VOID, DataError, read_sample

REAL_IMAGES = [
    ("train2017", 357),  # A crowd.
    ("train2017", 315),  # Two crowds, 38 instances.
    ("train2017", 250),  # Stuff alone.
    ("train2017", 61),  # Things alone.
    ("train2017", 86),  # A grey image, higher than wide.
    ("val2017", 5586),
]


def read_literally(
    json_path: Path, image_folder: Path, image_id: int
) -> tuple[np.ndarray, np.ndarray, list[int], dict[int, int]]:
    """Return RGB pixels, segment values, thing classes, and the value of each segment id, read literally."""
    content = json.loads(json_path.read_text())
    stuff = [c["id"] for c in content["categories"] if not c["isthing"]]
    things = [c["id"] for c in content["categories"] if c["isthing"]]
    (image,) = (i for i in content["images"] if i["id"] == image_id)
    (annotation,) = (a for a in content["annotations"] if a["image_id"] == image_id)
    pixels = np.asarray(Image.open(image_folder / image["file_name"]).convert("RGB"))
    png = np.asarray(Image.open(json_path.with_suffix("") / annotation["file_name"]).convert("RGB")).astype(int)
    ids = png[..., 0] + 256 * png[..., 1] + 256 * 256 * png[..., 2]
    segments, classes, values = np.full(ids.shape, VOID), [], {}
    for segment in annotation["segments_info"]:
        if segment["iscrowd"]:
            value = CROWD
        elif segment["category_id"] in stuff:
            value = stuff.index(segment["category_id"])
        else:
            value = len(stuff) + len(classes)
            classes.append(things.index(segment["category_id"]))
        segments[ids == segment["id"]] = values[segment["id"]] = value
    return pixels, segments, classes, values


@pytest.mark.parametrize(("split", "image_id"), REAL_IMAGES)
def test_real_images_equal_a_literal_reading(data: Path, split: str, image_id: int) -> None:
    root = data / "coco_panoptic_mini"
    path = root / "annotations" / f"panoptic_{split}.json"
    sample = read_sample(PanopticAnnotations.load(path), root / split, image_id)
    pixels, segments, classes, values = read_literally(path, root / split, image_id)
    assert sample.image.dtype == torch.uint8 and sample.image.is_contiguous()
    assert np.array_equal(sample.image.permute(1, 2, 0), pixels)
    assert sample.segments.dtype == torch.int16
    assert np.array_equal(sample.segments, segments)
    assert sample.classes.dtype == torch.int64
    assert sample.classes.tolist() == classes
    assert set(sample.segments.unique().tolist()) - {VOID} == set(values.values())


def test_real_images_are_of_every_kind(data: Path) -> None:
    """The images above are as commented, so that the comparison is meaningful."""
    root = data / "coco_panoptic_mini"
    samples = {}
    for split, image_id in REAL_IMAGES:
        annotations = PanopticAnnotations.load(root / "annotations" / f"panoptic_{split}.json")
        samples[image_id] = read_sample(annotations, root / split, image_id)
    num_stuff = 53
    assert all((samples[i].segments == CROWD).any() for i in (357, 315, 5586))
    assert all((samples[i].segments == VOID).any() for i in (357, 315, 61, 5586))
    assert len(samples[250].classes) == 0 and (samples[250].segments < num_stuff).all()
    assert not ((samples[61].segments >= 0) & (samples[61].segments < num_stuff)).any()
    assert (samples[86].image[0] == samples[86].image[2]).all()
    assert samples[86].image.shape == (3, 640, 512)


def test_crowds_take_no_instance_number(data: Path) -> None:
    root = data / "coco_panoptic_mini"
    path = root / "annotations" / "panoptic_train2017.json"
    sample = read_sample(PanopticAnnotations.load(path), root / "train2017", 315)
    present = [value for value in sample.segments.unique().tolist() if value >= 53]
    assert present == [53 + k for k in range(len(sample.classes))]
    assert len(sample.classes) == 38


def test_several_segments_of_a_stuff_class_are_one(tmp_path: Path) -> None:
    ids, infos = scene(0)
    (road,) = (info for info in infos if info["category_id"] == ROAD)
    ids[:, :10][ids[:, :10] == road["id"]] = 65536  # The road left of the first car is another segment now.
    annotations = write_split(tmp_path, {1: (ids, [*infos, road | {"id": 65536}])})
    sample = read_sample(annotations, tmp_path / "tiny", 1)
    assert np.array_equal(sample.segments == 0, (ids == road["id"]) | (ids == 65536))
    assert len(sample.classes) == 4


def test_stuff_instances_crowd_and_void_have_their_values(tmp_path: Path) -> None:
    ids, infos = scene(0)
    sample = read_sample(write_split(tmp_path, {1: (ids, infos)}), tmp_path / "tiny", 1)
    stuff, things = [ROAD, SKY], [CAR, PERSON]
    expected, classes = {0: VOID}, []
    for info in infos:
        if info["iscrowd"]:
            expected[info["id"]] = CROWD
        elif info["category_id"] in stuff:
            expected[info["id"]] = stuff.index(info["category_id"])
        else:
            expected[info["id"]] = 2 + len(classes)
            classes.append(things.index(info["category_id"]))
    assert set(expected.values()) == {VOID, CROWD, 0, 1, 2, 3, 4, 5}
    for segment_id, value in expected.items():
        assert np.array_equal(ids == segment_id, sample.segments == value)
    assert sample.classes.tolist() == classes == [0, 0, 1, 1]


@pytest.fixture
def one_image(data: Path, tmp_path: Path) -> Path:
    """The JSON file of a copy of a real image, to be corrupted."""
    root = data / "coco_panoptic_mini"
    content = json.loads((root / "annotations" / "panoptic_val2017.json").read_text())
    content["images"] = [i for i in content["images"] if i["id"] == 5586]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] == 5586]
    path = tmp_path / "annotations" / "panoptic_copy.json"
    path.with_suffix("").mkdir(parents=True)
    (tmp_path / "copy").mkdir()
    path.write_text(json.dumps(content))
    png, image = content["annotations"][0]["file_name"], content["images"][0]["file_name"]
    shutil.copyfile(root / "annotations" / "panoptic_val2017" / png, path.with_suffix("") / png)
    shutil.copyfile(root / "val2017" / image, tmp_path / "copy" / image)
    return path


def _image(path: Path) -> Path:
    return next((path.parents[1] / "copy").iterdir())


def _png(path: Path) -> Path:
    return next(path.with_suffix("").iterdir())


def _halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _shrink(path: Path) -> None:
    Image.open(path).resize((32, 24), Image.Resampling.NEAREST).save(path)


def _change_segment(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    content["annotations"][0]["segments_info"][0].update(changes)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("spoil", "culprit", "reason"),
    [
        (lambda path: _image(path).unlink(), _image, "is missing"),
        (lambda path: _halve(_image(path)), _image, "is corrupt"),
        (lambda path: _image(path).write_text("not an image"), _image, "is not an image"),
        (lambda path: _image(path).write_bytes(b""), _image, "is empty"),
        (lambda path: _png(path).unlink(), _png, "missing"),
        (lambda path: _halve(_png(path)), _png, ""),
        (lambda path: _png(path).write_text("not an image"), _png, ""),
        (lambda path: _shrink(_png(path)), _png, "32 x 24"),
        (lambda path: _shrink(_image(path)), _image, "32 x 24"),
        (lambda path: _change_segment(path, id=12345678), _png, "which its JSON does not list"),
        (lambda path: _change_segment(path, category_id=999), _png, "category 999"),
    ],
    ids=[
        "image missing",
        "image truncated",
        "image no image",
        "image empty",
        "PNG missing",
        "PNG truncated",
        "PNG no image",
        "PNG of another size",
        "image of another size",
        "segment not listed",
        "unknown category",
    ],
)
def test_errors_name_the_file_and_the_reason(
    one_image: Path, spoil: Callable[[Path], object], culprit: Callable[[Path], Path], reason: str
) -> None:
    name = str(culprit(one_image))
    spoil(one_image)
    annotations = PanopticAnnotations.load(one_image)
    with pytest.raises(DataError) as caught:
        read_sample(annotations, one_image.parents[1] / "copy", 5586)
    assert name in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unlisted_segment_is_named_by_its_number(one_image: Path) -> None:
    number = json.loads(one_image.read_text())["annotations"][0]["segments_info"][0]["id"]
    _change_segment(one_image, id=12345678)
    with pytest.raises(DataError, match=f"segment {number}"):
        read_sample(PanopticAnnotations.load(one_image), one_image.parents[1] / "copy", 5586)
