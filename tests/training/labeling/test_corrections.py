# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Corrections of labels in annotation tools: export, import, and the page that shows them."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from tests.replay.report.browser import opened, running_browser
from tests.training.labeling.recordings import write_drive, write_teacher
from training import check_data, label, review
from training.labeling.annotation_tools.cvat import read_cvat
from training.labeling.annotation_tools.label_studio import decode_brush, encode_brush, read_label_studio
from training.labeling.annotation_tools.shapes import AnnotatedImage, Shape, to_labels
from training.labeling.corrections import export_labels, import_labels

CVAT_EXAMPLE = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
  <image id="0" name="train/drive_000000.jpg" width="128" height="96">
    <polygon label="road" source="manual" occluded="0" points="0.00,48.00;128.00,48.00;128.00,96.00;0.00,96.00"
      z_order="0"></polygon>
    <mask label="car" source="manual" occluded="0" rle="3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1,
      12, 2, 11, 3, 9, 5, 7, 7, 5, 3" left="20" top="60" width="13" height="15" z_order="1"></mask>
  </image>
</annotations>
"""
"""The mask's code is that of an ellipse in CVAT's documentation."""


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    folder = tmp_path / "labels"
    arguments = [str(write_drive(tmp_path / "drive")), "--teacher", str(write_teacher(tmp_path))]
    assert label.main([*arguments, "--output", str(folder), "--interval", "0.3", "--hold-out", "0.3"]) == 0
    return folder


def load(folder: Path, split: str = "train") -> PanopticAnnotations:
    return PanopticAnnotations.load(folder / "annotations" / f"panoptic_{split}.json")


def contents(folder: Path) -> dict[str, tuple[list[list[int]], list[tuple[int, int, int]]]]:
    """Return the semantic and instance content of all images by file name, independent of the order of ids."""
    found = {}
    for split in ("train", "val"):
        annotations = load(folder, split)
        for one in annotations.annotated:
            ids, infos = annotations.segment_ids(one), annotations.annotations[one]["segments_info"]
            order = sorted(infos, key=lambda info: (info["category_id"], info["bbox"]))
            parts = [(info["category_id"], info["iscrowd"], info["area"]) for info in order]
            table = np.zeros(ids.max() + 1, int)
            table[[info["id"] for info in order]] = np.arange(1, len(order) + 1)
            found[annotations.images[one]["file_name"]] = table[ids].tolist(), parts
    return found


@pytest.mark.parametrize("tool", ["cvat", "label-studio"])
def test_exported_labels_return_unchanged(tool: str, labels: Path, tmp_path: Path) -> None:
    before = contents(labels)
    path = export_labels(labels, tmp_path / "exported", tool)
    if tool == "label-studio":
        # Submitted predictions are annotations.
        tasks = json.loads(path.read_text())
        for task in tasks:
            task["annotations"] = task.pop("predictions")
            name = task["data"]["image"].removeprefix("/data/local-files/?d=images/")
            assert (tmp_path / "exported" / "images" / name).is_file()
            task["data"]["image"] = f"/data/upload/3/0a1b2c3d-{name}"
        path.write_text(json.dumps(tasks))
    report = import_labels(labels, path)
    assert sorted(report.imported) == sorted(before)
    assert not report.unknown
    assert contents(labels) == before
    for split in ("train", "val"):
        assert all(image["reviewed"] for image in load(labels, split).images.values())
        assert check_data.main([str(labels / "annotations" / f"panoptic_{split}.json")]) == 0


def test_the_interfaces_of_both_tools_list_all_labels(labels: Path, tmp_path: Path) -> None:
    export_labels(labels, tmp_path / "cvat", "cvat")
    export_labels(labels, tmp_path / "studio", "label-studio")
    names = ["road", "sky", "car", "car (crowd)"]
    assert [one["name"] for one in json.loads((tmp_path / "cvat" / "labels.json").read_text())] == names
    interface = ElementTree.fromstring((tmp_path / "studio" / "labeling_interface.xml").read_text())
    assert [one.attrib["value"] for one in interface.iter("Label")] == names
    assert next(interface.iter("Image")).attrib["value"] == "$image"


def test_a_correction_in_cvat(labels: Path, tmp_path: Path) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(CVAT_EXAMPLE)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.write(path, "annotations.xml")
    for file in (path, tmp_path / "export.zip"):
        assert review.main(["import", str(labels), str(file)]) == 0
        found = load(labels)
        image_id = next(one for one, image in found.images.items() if image["file_name"] == "drive_000000.jpg")
        road, car = found.annotations[image_id]["segments_info"]
        assert (road["category_id"], car["category_id"]) == (1, 3)
        assert (car["bbox"], car["area"], car["score"]) == ([20, 60, 13, 15], 149, 1.0)
        assert road["area"] == 48 * 128 - 149
        assert found.images[image_id]["reviewed"]
        assert not any(image.get("reviewed") for one, image in found.images.items() if one != image_id)
    assert "reviewed" in (labels / "review.html").read_text()


def test_labels_in_coco_format_are_imported(labels: Path, tmp_path: Path) -> None:
    shutil.copytree(labels / "annotations", tmp_path / "corrected")
    path = tmp_path / "corrected" / "panoptic_train.json"
    corrected = json.loads(path.read_text())
    (first, *_) = corrected["annotations"]
    first["segments_info"] = [one for one in first["segments_info"] if one["category_id"] != 2]
    png = path.with_suffix("") / first["file_name"]
    ids = cv2.imread(str(png))
    ids[:48] = 0
    cv2.imwrite(str(png), ids)
    path.write_text(json.dumps(corrected))
    before = load(labels)
    original = before.png_folder / before.annotations[1]["file_name"]
    report = import_labels(labels, path)
    assert len(report.imported) == len(corrected["images"])
    after = load(labels)
    assert [one["category_id"] for one in after.annotations[1]["segments_info"]] == [1, 3]
    assert after.images[1]["certainty"] == pytest.approx(0.5, abs=0.02)
    assert original.exists(), "the previous labels remain"


def test_images_of_another_data_set_are_reported(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(CVAT_EXAMPLE.replace("drive_000000", "other_000000"))
    assert review.main(["import", str(labels), str(path)]) == 1
    assert "1 images are not in the data set: train/other_000000.jpg" in capsys.readouterr().err


MISTAKES = {
    "label": (CVAT_EXAMPLE.replace('"car"', '"bicycle"'), "a shape with the label 'bicycle'; the labels are road, sky"),
    "size": (CVAT_EXAMPLE.replace('height="96"', 'height="97"'), "annotated with another size"),
    "box": (CVAT_EXAMPLE.replace("<polygon", "<box").replace("</polygon>", "</box>"), "a shape of the kind box"),
    "runs": (CVAT_EXAMPLE.replace('rle="3', 'rle="4'), "is not in the format CVAT"),
    "XML": (CVAT_EXAMPLE[:300], "is not in the format CVAT"),
    "video": (CVAT_EXAMPLE.replace("<image", "<track/><image"), "CVAT for video: export it as CVAT for images 1.1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_unusable_files_change_nothing(
    mistake: str, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, expected = MISTAKES[mistake]
    path = tmp_path / "annotations.xml"
    path.write_text(text)
    before = contents(labels)
    assert review.main(["import", str(labels), str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert contents(labels) == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no JSON", "is neither XML, ZIP nor JSON"),
        ('[{"annotations": [{"result": [{"type": "brushlabels"}]}]}]', "is not in Label Studio's format"),
        ("{}", "is not in COCO's panoptic format"),
    ],
)
def test_unusable_json_files(
    text: str, expected: str, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(text)
    assert review.main(["import", str(labels), str(path)]) == 1
    assert expected in capsys.readouterr().err


def test_brushes_of_label_studio() -> None:
    """The second code has individual values, as other encoders write them."""
    mask = np.random.default_rng(0).random((37, 41)) > 0.7
    mask[10:30] = True
    assert np.array_equal(decode_brush(encode_brush(mask), 37, 41), mask)
    large = np.ones((400, 500), bool)
    assert np.array_equal(decode_brush(encode_brush(large), 400, 500), large)
    # 4 values of 8 bits, lengths of 3, 4, 8 and 16 bits: three zeros one by one, then 255.
    bits = f"{4:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "0" + "00" + "010" + "00000000" * 3
    bits += "1" + "00" + "000" + "11111111"
    bits += "0" * (-len(bits) % 8)
    code = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert decode_brush(code, 1, 1).tolist() == [[True]]
    with pytest.raises(ValueError, match="4 values instead of 8"):
        decode_brush(code, 1, 2)


def test_polygons_of_label_studio_are_in_percent(tmp_path: Path) -> None:
    shape = {
        "type": "polygonlabels",
        "original_width": 40,
        "original_height": 20,
        "value": {"points": [[25, 50], [75, 50], [75, 100], [25, 100]], "polygonlabels": ["car"]},
    }
    tasks: list[dict[str, Any]] = [
        {"data": {"image": "/data/a.jpg"}, "annotations": [{"result": [shape]}]},
        {"data": {"image": "/data/b.jpg"}, "annotations": [], "predictions": [{"result": [shape]}]},
        {"data": {"image": "/data/c.jpg"}, "annotations": [{"result": [shape], "was_cancelled": True}]},
    ]
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(tasks))
    (image,) = read_label_studio(path)
    assert (image.file_name, image.height, image.width) == ("a.jpg", 20, 40)
    assert image.shapes[0].mask[10:, 10:30].all()
    assert image.shapes[0].mask.sum() == 200


def test_later_shapes_are_above_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(CVAT_EXAMPLE.replace('z_order="1"', 'z_order="-1"'))
    (image,) = read_cvat(path)
    assert [shape.label for shape in image.shapes] == ["car", "road"]


def test_hidden_shapes_are_no_segments(labels: Path) -> None:
    everything = np.ones((4, 4), bool)
    image = AnnotatedImage("a.jpg", 4, 4, [Shape("car", everything), Shape("road", everything)])
    (segment,) = to_labels(image, load(labels).categories).segments
    assert (segment.id, segment.category.name) == (1, "road")


def test_only_the_least_certain_images_are_exported(labels: Path, tmp_path: Path) -> None:
    path = labels / "annotations" / "panoptic_train.json"
    changed = json.loads(path.read_text())
    changed["images"][1]["certainty"] = 0.1
    path.write_text(json.dumps(changed))
    assert review.main(["export", str(labels), str(tmp_path / "one"), "--tool", "cvat", "--count", "1"]) == 0
    (image,) = read_cvat(tmp_path / "one" / "annotations.xml")
    assert image.file_name == changed["images"][1]["file_name"]
    assert [file.name for file in (tmp_path / "one" / "images").iterdir()] == [image.file_name]


def test_the_page_shows_the_least_certain_frames_first(labels: Path) -> None:
    path = labels / "annotations" / "panoptic_val.json"
    changed = json.loads(path.read_text())
    changed["images"][0]["certainty"] = 0.05
    path.write_text(json.dumps(changed))
    assert review.main(["page", str(labels)]) == 0
    with running_browser() as browser, opened(browser, labels / "review.html") as page:
        cards = page.locator(".card h4").all_inner_texts()
        assert cards[0] == Path(changed["images"][0]["file_name"]).stem
        assert len(cards) == 3
        assert page.locator("#frames tbody tr").first.inner_text().split("\t")[2] == "95.0"
        assert page.locator("img").first.evaluate("image => image.naturalWidth") == 128


def test_a_folder_without_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["page", str(tmp_path)], ["export", str(tmp_path), str(tmp_path / "x"), "--tool", "cvat"]):
        assert review.main(command) == 1
        assert "no complete" in capsys.readouterr().err
