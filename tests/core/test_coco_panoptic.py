# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reading and writing of COCO's panoptic format."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import PanopticAnnotations, write_results
from ciae_ros.inference import PanopticResult, Segment


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
