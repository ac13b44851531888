# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Comparison of results in COCO's panoptic format with the ground truth."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol

from ciae_ros.core.coco_panoptic import ImageId, PanopticAnnotations, renumbered
from ciae_ros.core.text_file import read_text
from training.evaluation import hotcoco_engine
from training.evaluation.scores import BoxAP, Scores, SegmentScores


class Engine(Protocol):
    """A module that computes scores; tests compare hotcoco with panopticapi and pycocotools."""

    def score_segments(self, truth: PanopticAnnotations, results: PanopticAnnotations) -> SegmentScores: ...

    def score_boxes(self, truth: dict[str, Any], detections: list[dict[str, Any]]) -> BoxAP: ...


def compute_scores(truth: PanopticAnnotations, results: Path, engine: Engine = hotcoco_engine) -> Scores:
    """Compare results with the ground truth.

    Args:
        truth: annotated images, each of which must have a result.
        results: JSON file in COCO's panoptic format, with PNGs in the folder of the same name next to it; results of
            other images are ignored. `Scores.box_ap` requires `bbox` and `score` of the segments.
        engine: module that computes the scores.

    Raises:
        ValueError: an image has no result, or a file is corrupt or inconsistent with another one.
    """
    found = _load_results(truth, results)
    truth, found = _with_numbers(truth), _with_numbers(found)
    try:
        segments = engine.score_segments(truth, found)
    except ValueError as error:
        raise ValueError(f"{results}: {error}") from None
    box_ap = _box_ap(engine, truth, found)
    return Scores(**{field.name: getattr(segments, field.name) for field in fields(segments)}, box_ap=box_ap)


def _load_results(truth: PanopticAnnotations, path: Path) -> PanopticAnnotations:
    """Load the results of the images of `truth`; the file needs only the key `annotations`."""
    if not truth.annotations:
        raise ValueError(f"{truth.path} has no annotated image")
    try:
        entries = {entry["image_id"]: entry for entry in json.loads(read_text(path))["annotations"]}
        for image_id in truth.annotations:
            _check_result(truth, path, image_id, entries.get(image_id))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not in COCO's panoptic format: {error!r}") from None
    annotations = {image_id: renumbered(entries[image_id], truth.category_ids) for image_id in truth.annotations}
    return replace(truth, path=path, png_folder=path.with_suffix(""), annotations=annotations)


def _check_result(truth: PanopticAnnotations, path: Path, image_id: ImageId, entry: dict[str, Any] | None) -> None:
    if entry is None:
        raise ValueError(f"{path} has no result for image {image_id}")
    png = path.with_suffix("") / entry["file_name"]
    if not png.is_file():
        raise ValueError(f"{png} is missing")
    for info in entry["segments_info"]:
        if info["category_id"] not in truth.category_ids:
            raise ValueError(f"{path}, image {image_id}: the data has no category {info['category_id']}")


def _with_numbers(annotations: PanopticAnnotations) -> PanopticAnnotations:
    """Replace ids of images that are not natural numbers, which the engines require, by the position of the image."""
    if all(isinstance(image_id, int) and image_id >= 0 for image_id in annotations.annotations):
        return annotations
    numbers = {image_id: number for number, image_id in enumerate(annotations.annotations)}
    return replace(
        annotations,
        images={number: annotations.images[image_id] | {"id": number} for image_id, number in numbers.items()},
        annotations={
            number: annotations.annotations[image_id] | {"image_id": number} for image_id, number in numbers.items()
        },
    )


def _box_ap(engine: Engine, truth: PanopticAnnotations, results: PanopticAnnotations) -> BoxAP:
    boxes = [
        {"id": number, "image_id": image_id, "iscrowd": info.get("iscrowd", 0)}
        | {key: info[key] for key in ("category_id", "bbox", "area")}
        for number, (image_id, info) in enumerate(_things(truth), start=1)
    ]
    things = list(_things(results))
    if all(box["iscrowd"] for box in boxes) or not all("score" in info and "bbox" in info for _, info in things):
        return BoxAP(math.nan, math.nan, math.nan)
    if not things:
        return BoxAP(0.0, 0.0, 0.0)
    categories = [{"id": category.id, "name": category.name} for category in truth.categories.things]
    images = [truth.images[image_id] for image_id in truth.annotations]
    detections = [
        {"image_id": image_id} | {key: info[key] for key in ("category_id", "bbox", "score")}
        for image_id, info in things
    ]
    return engine.score_boxes({"images": images, "annotations": boxes, "categories": categories}, detections)


def _things(annotations: PanopticAnnotations) -> Iterator[tuple[ImageId, dict[str, Any]]]:
    """Yield the image id and the entry of each thing segment."""
    for image_id, entry in annotations.annotations.items():
        for info in entry["segments_info"]:
            if annotations.categories.by_id[info["category_id"]].is_thing:
                yield image_id, info
