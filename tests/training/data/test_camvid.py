# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Conversion of CamVid to COCO's panoptic format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from training.convert_camvid import main
from training.data.camvid import CATEGORIES, SPLITS, VOID, panoptic_segments

SKY, ROAD, CAR, PEDESTRIAN = 0, 3, 8, 9


def _street() -> np.ndarray:
    """(20, 40): sky over road; two cars, a pedestrian of two halves that touch at a corner, a speck, a void corner."""
    labels = np.full((20, 40), ROAD, np.uint8)
    labels[:6] = SKY
    labels[8:14, 2:8] = CAR  # 6 x 6
    labels[10:15, 20:30] = CAR  # 10 x 5
    labels[8:12, 10:14] = PEDESTRIAN  # 4 x 4 ...
    labels[12:16, 14:18] = PEDESTRIAN  # ... and 4 x 4 by its corner
    labels[17:19, 2:8] = CAR  # 6 x 2: a speck
    labels[16:, 36:] = VOID  # 4 x 4
    return labels


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two images of each split, all annotated with the street; the second of each is upside down."""
    folder = tmp_path / "source"
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        (folder / f"{split}annot").mkdir()
        for name, labels in ((f"{split}_0", _street()), (f"{split}_1", _street()[::-1])):
            cv2.imwrite(str(folder / split / f"{name}.jpg"), np.full((20, 40, 3), 100, np.uint8))
            cv2.imwrite(str(folder / f"{split}annot" / f"{name}.png"), labels)
    return folder


def _by_category(segments_info: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    (category_id,) = (category.id for category in CATEGORIES.values() if category.name == name)
    return [info for info in segments_info if info["category_id"] == category_id]


def test_segments_of_a_street_counted_by_hand() -> None:
    ids, infos = panoptic_segments(_street(), CATEGORIES)
    assert ids.dtype == np.int32
    assert [info["id"] for info in infos] == [1, 2, 3, 4, 5]
    (sky,), (road,) = _by_category(infos, "sky"), _by_category(infos, "road")
    assert (sky["area"], sky["bbox"]) == (240, [0, 0, 40, 6])
    assert (road["area"], road["bbox"]) == (560 - 36 - 50 - 32 - 12 - 16, [0, 6, 40, 14])
    assert [(car["area"], car["bbox"]) for car in _by_category(infos, "car")] == [
        (36, [2, 8, 6, 6]),
        (50, [20, 10, 10, 5]),
    ]
    (pedestrian,) = _by_category(infos, "pedestrian")
    assert (pedestrian["area"], pedestrian["bbox"]) == (32, [10, 8, 8, 8])
    assert (ids == 0).sum() == 12 + 16
    assert not ids[17:19, 2:8].any()
    for info in infos:
        assert (ids == info["id"]).sum() == info["area"]
        assert info["iscrowd"] == 0


def test_stuff_is_one_segment_however_scattered_or_small() -> None:
    labels = np.full((10, 10), VOID, np.uint8)
    labels[0, 0] = labels[9, 9] = ROAD
    ids, (road,) = panoptic_segments(labels, CATEGORIES)
    assert (road["area"], road["bbox"]) == (2, [0, 0, 10, 10])
    assert ids[0, 0] == ids[9, 9] == 1


@pytest.mark.parametrize(("min_area", "areas"), [(12, [36, 50, 12]), (13, [36, 50]), (50, [50])])
def test_min_area_is_the_smallest_that_stays(min_area: int, areas: list[int]) -> None:
    _, infos = panoptic_segments(_street(), CATEGORIES, min_area)
    assert [car["area"] for car in _by_category(infos, "car")] == areas


def test_image_of_nothing_has_no_segments() -> None:
    ids, infos = panoptic_segments(np.full((4, 4), VOID, np.uint8), CATEGORIES)
    assert not ids.any()
    assert infos == []


def test_splits_are_written_in_cocos_layout(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert main([str(source), str(target)]) == 0
    seen = {}
    for split, num_images in (("train", 2), ("val", 2), ("test", 2), ("trainval", 4)):
        annotations = PanopticAnnotations.load(target / "annotations" / f"panoptic_{split}.json")
        assert len(annotations.images) == len(annotations.annotations) == num_images
        assert [category.id for category in annotations.categories.categories] == list(range(1, 12))
        assert [category.name for category in annotations.categories.things] == ["car", "pedestrian", "bicyclist"]
        for image_id, image in annotations.images.items():
            assert (image["height"], image["width"]) == (20, 40)
            name = image["file_name"]
            assert (target / split / name).read_bytes() == (source / name.split("_")[0] / name).read_bytes()
            labels = _street() if name.endswith("_0.jpg") else _street()[::-1]
            assert np.array_equal(annotations.segment_ids(image_id), panoptic_segments(labels, CATEGORIES)[0])
            assert seen.setdefault(name, image_id) == image_id
    assert len(seen) == len(set(seen.values())) == 6


def test_ids_above_255_are_read_back(source: Path, tmp_path: Path) -> None:
    labels = np.full((40, 80), ROAD, np.uint8)
    labels[::2, ::2] = CAR  # 800 cars of one pixel
    for path in (source / "train" / "train_0.jpg", source / "trainannot" / "train_0.png"):
        cv2.imwrite(str(path), labels)
    assert main([str(source), str(tmp_path / "target"), "--min-area", "1"]) == 0
    annotations = PanopticAnnotations.load(tmp_path / "target" / "annotations" / "panoptic_train.json")
    ids = annotations.segment_ids(1)
    assert len(annotations.annotations[1]["segments_info"]) == ids.max() == 801
    assert len(np.unique(ids[::2, ::2])) == 800


def test_real_images_are_what_was_annotated(data: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for split in SPLITS:
        (source / split).mkdir(parents=True)
        (source / f"{split}annot").mkdir()
        for image in sorted((data / "camvid_480x360" / split).iterdir())[::40][:2]:
            annotation = image.parent.with_name(f"{split}annot") / f"{image.stem}.png"
            shutil.copy(image, source / split)
            shutil.copy(annotation, source / f"{split}annot")
    assert main([str(source), str(tmp_path / "target")]) == 0
    for split in SPLITS:
        annotations = PanopticAnnotations.load(tmp_path / "target" / "annotations" / f"panoptic_{split}.json")
        assert len(annotations.images) == 2
        for image_id, entry in annotations.annotations.items():
            semantic = cv2.imread(str(source / f"{split}annot" / entry["file_name"]), cv2.IMREAD_UNCHANGED)
            _assert_equal_but_for_specks(annotations.segment_ids(image_id), entry["segments_info"], semantic)


def _assert_equal_but_for_specks(ids: np.ndarray, segments_info: list[dict[str, Any]], semantic: np.ndarray) -> None:
    category_of_segment = np.zeros(len(segments_info) + 1, np.uint8)
    for info in segments_info:
        category_of_segment[info["id"]] = info["category_id"]
        assert info["area"] == (ids == info["id"]).sum()
    assert sum(info["area"] for info in segments_info) + (ids == 0).sum() == semantic.size
    read_back = category_of_segment[ids].astype(int) - 1
    assert np.array_equal(read_back[ids > 0], semantic[ids > 0])
    dropped = (ids == 0) & (semantic != VOID)
    assert np.isin(semantic[dropped], [8, 9, 10]).all()
    assert dropped.sum() < 0.002 * semantic.size


def test_missing_folder_is_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(source / "valannot")
    assert "valannot is missing" in _refusal(source, tmp_path / "target", capsys)


def test_empty_folder_is_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for image in (source / "test").iterdir():
        image.unlink()
    assert "test has no images" in _refusal(source, tmp_path / "target", capsys)


def test_missing_annotation_is_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "trainannot" / "train_1.png").unlink()
    assert "train_1.jpg has no annotation" in _refusal(source, tmp_path / "target", capsys)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((20, 40), 12, np.uint8), "val_1.png has the value 12"),
        (np.full((20, 41), ROAD, np.uint8), "val_1.png is 41 x 20, its image 40 x 20"),
        (np.full((20, 40, 3), ROAD, np.uint8), "val_1.png is a PNG of 8 bits RGB, not 8-bit grey"),
    ],
)
def test_unfit_annotation_is_refused(
    labels: np.ndarray, message: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(source / "valannot" / "val_1.png"), labels)
    assert message in _refusal(source, tmp_path / "target", capsys)


def test_an_invalid_image_is_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "test" / "test_0.jpg").write_text("no image")
    assert "test_0.jpg cannot be read: it is not an image" in _refusal(source, tmp_path / "target", capsys)


def test_same_name_in_train_and_val_is_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(source / "train" / "train_0.jpg", source / "val")
    shutil.copy(source / "trainannot" / "train_0.png", source / "valannot")
    assert "have the same name" in _refusal(source, tmp_path / "target", capsys)


def test_source_is_not_overwritten(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the source and the target are the same folder" in _refusal(source, source, capsys)
    assert not (source / "annotations").exists()


def test_refusal_leaves_no_json_of_an_earlier_run(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    assert main([str(source), str(target)]) == 0
    assert json.loads((target / "annotations" / "panoptic_train.json").read_text())["images"]
    cv2.imwrite(str(source / "valannot" / "val_0.png"), np.full((20, 40), 200, np.uint8))
    _refusal(source, target, capsys)
    assert not list((target / "annotations").glob("*.json"))


def _refusal(source: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line that a refused conversion prints."""
    capsys.readouterr()
    assert main([str(source), str(target)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("convert_camvid: ")]
    assert len(lines) == 1
    return lines[0]
