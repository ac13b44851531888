# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Small annotated images, and results with all kinds of errors that scores distinguish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference import Category, CategorySet, PanopticResult, Segment

CATEGORIES = CategorySet(
    (
        Category(3, "road", False, (0, 255, 0)),
        Category(7, "sky", False, (0, 0, 255)),
        Category(11, "car", True, (255, 0, 0)),
        Category(12, "person", True, (9, 9, 9)),
    )
)
ROAD, SKY, CAR, PERSON = 3, 7, 11, 12
Infos = list[dict[str, Any]]


def scene(number: int, crowd: bool = True) -> tuple[np.ndarray, Infos]:
    """Return segment ids (60, 80) and `segments_info`: sky, road, two touching cars, persons, a crowd, void."""
    ids = np.full((60, 80), 70000)
    ids[:20] = 300
    ids[30:44, 5:20] = 1
    ids[30:44, 20:41] = 2
    ids[22 + number : 50, 50:56] = 3
    ids[50:58, 60:64] = 4
    ids[4:12, 60:78] = 0
    category_of = {300: SKY, 70000: ROAD, 1: CAR, 2: CAR, 3: PERSON, 4: PERSON}
    if crowd:
        ids[46:58, 66:80] = 5
        category_of[5] = PERSON
    return ids, [_info(ids, i, category_id, iscrowd=int(i == 5)) for i, category_id in category_of.items()]


def _info(ids: np.ndarray, segment_id: int, category_id: int, iscrowd: int = 0) -> dict[str, Any]:
    mask = (ids == segment_id).astype(np.uint8)
    return {
        "id": segment_id,
        "category_id": category_id,
        "area": int(mask.sum()),
        "bbox": list(cv2.boundingRect(mask)),
        "iscrowd": iscrowd,
    }


def write_split(
    root: Path, scenes: dict[int, tuple[np.ndarray, Infos]], split: str = "tiny", categories: CategorySet = CATEGORIES
) -> PanopticAnnotations:
    """Write ROOT/annotations/panoptic_SPLIT.json, its PNGs and noise as images in ROOT/SPLIT."""
    path = root / "annotations" / f"panoptic_{split}.json"
    path.with_suffix("").mkdir(parents=True)
    (root / split).mkdir()
    images, annotations = [], []
    for image_id, (ids, infos) in scenes.items():
        name = f"{image_id:04}.png"
        cv2.imwrite(
            str(path.with_suffix("") / name), np.dstack([ids >> 16, ids >> 8 & 255, ids & 255]).astype(np.uint8)
        )
        noise = np.random.default_rng(image_id).integers(0, 256, (*ids.shape, 3), np.uint8)
        cv2.imwrite(str(root / split / name), noise)
        images.append({"id": image_id, "file_name": name, "height": ids.shape[0], "width": ids.shape[1]})
        annotations.append({"image_id": image_id, "file_name": name, "segments_info": infos})
    content = {"images": images, "annotations": annotations, "categories": categories.to_coco()}
    path.write_text(json.dumps(content))
    return PanopticAnnotations.load(path)


def change_category_ids(content: dict[str, Any], ids: dict[int, int]) -> None:
    """Replace the category ids in the content of a JSON file."""
    for category in content["categories"]:
        category["id"] = ids[category["id"]]
    for annotation in content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["category_id"] = ids[segment["category_id"]]


def result_of(
    ids: np.ndarray, category_of: dict[int, int], categories: CategorySet, rng: np.random.Generator
) -> PanopticResult:
    """Create a result with these segments if they have pixels; things have random scores, stuff 1."""
    labels = np.zeros(ids.shape, np.uint16)
    segments: list[Segment] = []
    for segment_id, category_id in category_of.items():
        mask = ids == segment_id
        if mask.any():
            labels[mask] = len(segments) + 1
            category = categories.by_id[category_id]
            score = float(np.float32(rng.random())) if category.is_thing else 1.0
            box = cv2.boundingRect(mask.astype(np.uint8))
            segments.append(Segment(len(segments) + 1, category, score, int(mask.sum()), box, (0.0, 0.0)))
    return PanopticResult(labels, tuple(segments))


def perfect(ids: np.ndarray, infos: Infos, categories: CategorySet) -> PanopticResult:
    """Convert the ground truth to a result, without crowds."""
    category_of = {info["id"]: info["category_id"] for info in infos if not info["iscrowd"]}
    return result_of(ids, category_of, categories, np.random.default_rng(0))


def perturbed(ids: np.ndarray, infos: Infos, categories: CategorySet, rng: np.random.Generator) -> PanopticResult:
    """Create a result with moved, missing, split and misclassified segments, and a segment in void."""
    moved = np.roll(ids, rng.integers(-3, 4, 2), (0, 1))
    category_of = {}
    all_categories = list(categories.by_id)
    for info in infos:
        what = rng.random()
        if what < 0.1:
            continue
        category_of[info["id"]] = int(rng.choice(all_categories)) if what < 0.2 else info["category_id"]
        if what > 0.85:
            part = (moved == info["id"]) & (np.arange(ids.shape[1]) < info["bbox"][0] + info["bbox"][2] / 3)
            moved[part] = info["id"] + (1 << 24)
            category_of[info["id"] + (1 << 24)] = info["category_id"]
    category_of[0] = int(rng.choice(all_categories))
    return result_of(moved, category_of, categories, rng)
