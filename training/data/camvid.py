# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Conversion of CamVid to COCO's panoptic format; an example of how to bring one's own data.

Input: a folder of images and a folder of annotations for each split (train, trainannot, val, valannot, test,
testannot). An annotation is a one-channel PNG with the name and size of its image, whose values are the classes of
`CATEGORIES`; 11 is void.

Output: TARGET/annotations/panoptic_SPLIT.json, a PNG for each image in TARGET/annotations/panoptic_SPLIT whose colour
is the segment id (R + 256 G + 65536 B, 0 is void), and the images in TARGET/SPLIT. The split trainval is train and val
together, for the final model. An image has the same id in all splits that contain it.

Limitation: semantic annotations do not separate objects. Each connected region of a thing class becomes one object, so
touching objects are merged, and an object behind a pole counts twice. A PQ from these annotations is a
"pseudo-instance" PQ and cannot be compared with others.

For other semantic annotations, change `CATEGORIES` and `VOID`. Instance annotations do not need `panoptic_segments`:
assign an id to each object and write the same files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.coco_panoptic import write_segment_ids
from ciae_ros.core.images.files import ImageFileError, read_classes
from training.data.sample import DataError, read_rgb

SPLITS = ("train", "val", "test")
VOID = 11
"""Value of pixels without a class."""
MIN_AREA = 20
"""Minimum area of an object in pixels.

Smaller regions of a thing class are artefacts of the annotation, at outlines and behind poles: in CamVid a fifth of the
regions, with less than a thousandth of the things' pixels. PQ would count each like a whole car, and 20 pixels are
little more than one pixel of the stride-4 map in which the network would have to detect it.
"""


def panoptic_segments(
    semantic: np.ndarray, categories: Mapping[int, Category], min_area: int = MIN_AREA
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Convert a semantic label map to panoptic segments: one per stuff class, one per connected region of a thing
    class.

    Args:
        semantic: integer classes (H, W); values that are not in `categories` are void.
        categories: categories by value in the label map.
        min_area: 8-connected regions of a thing class with fewer pixels become void.

    Returns:
        Segment ids (H, W) int32, 1 to n, and 0 for void; and the `segments_info` of COCO's format, with boxes
        (x, y, width, height) in pixels.
    """
    segment_ids = np.zeros(semantic.shape, np.int32)
    segments_info: list[dict[str, Any]] = []
    for value, category in categories.items():
        of_class = semantic == value
        for mask in _connected_regions(of_class, min_area) if category.is_thing else [of_class]:
            area = int(np.count_nonzero(mask))
            if area == 0:
                continue
            segment_id = len(segments_info) + 1
            segment_ids[mask] = segment_id
            box = list(cv2.boundingRect(mask.astype(np.uint8)))
            segments_info.append(
                {"id": segment_id, "category_id": category.id, "area": area, "bbox": box, "iscrowd": 0}
            )
    return segment_ids, segments_info


def _connected_regions(mask: np.ndarray, min_area: int) -> Iterator[np.ndarray]:
    """Yield the masks (H, W) bool of the 8-connected regions with at least `min_area` pixels."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for label in range(1, count):
        if statistics[label, cv2.CC_STAT_AREA] >= min_area:
            yield labels == label


CATEGORIES = {
    0: Category(1, "sky", False, (128, 128, 128)),
    1: Category(2, "building", False, (128, 0, 0)),
    2: Category(3, "pole", False, (192, 192, 128)),
    3: Category(4, "road", False, (128, 64, 128)),
    4: Category(5, "pavement", False, (0, 0, 192)),
    5: Category(6, "tree", False, (128, 128, 0)),
    6: Category(7, "sign", False, (192, 128, 128)),
    7: Category(8, "fence", False, (64, 64, 128)),
    8: Category(9, "car", True, (64, 0, 128)),
    9: Category(10, "pedestrian", True, (64, 64, 0)),
    10: Category(11, "bicyclist", True, (0, 128, 192)),
}
"""Categories by value in the annotation. Ids begin at 1 as in COCO; the colours are CamVid's."""


def convert(source: Path, target: Path, min_area: int = MIN_AREA) -> None:
    """Convert all splits of `source`, and trainval, and write them to `target`.

    Raises:
        DataError: a folder, image or annotation is missing or invalid. An incomplete split has no JSON file.
        OSError: a file cannot be written.
    """
    if source.resolve() == target.resolve():
        raise DataError(f"the source and the target are the same folder, {target}")
    pairs = {split: _find_pairs(source, split) for split in SPLITS}
    _refuse_shared_names(pairs["train"], pairs["val"])
    for split in (*SPLITS, "trainval"):
        # If this run fails, files of an earlier one would describe other PNGs.
        _json_path(target, split).unlink(missing_ok=True)
    parts, first_id = {}, 1
    for split, split_pairs in pairs.items():
        parts[split] = _convert_split(split_pairs, target, split, first_id, min_area)
        first_id += len(split_pairs)
    _join_splits(target, ("train", "val"), "trainval")
    parts["trainval"] = {key: parts["train"][key] + parts["val"][key] for key in ("images", "annotations")}
    for split, part in parts.items():
        _write_json(_json_path(target, split), part, min_area)
        print(f"{_json_path(target, split)}: {_summary(part)}")


def _find_pairs(source: Path, split: str) -> list[tuple[Path, Path]]:
    """Return the paths of each image of a split and of its annotation, sorted by name."""
    images, annotations = source / split, source / f"{split}annot"
    for folder in (images, annotations):
        if not folder.is_dir():
            raise DataError(f"{folder} is missing; expected train, trainannot, val, valannot, test, testannot")
    paths = sorted(path for path in images.iterdir() if not path.name.startswith("."))
    if not paths:
        raise DataError(f"{images} has no images")
    pairs = [(path, annotations / f"{path.stem}.png") for path in paths]
    for image, annotation in pairs:
        if not annotation.is_file():
            raise DataError(f"{image} has no annotation: {annotation} is missing")
    return pairs


def _refuse_shared_names(*splits: list[tuple[Path, Path]]) -> None:
    """Refuse images of the same name in splits that are joined, as they would overwrite each other's PNG."""
    seen: dict[str, Path] = {}
    for image, _ in (pair for split in splits for pair in split):
        if image.stem in seen:
            raise DataError(f"{image} and {seen[image.stem]} have the same name")
        seen[image.stem] = image


def _convert_split(
    pairs: list[tuple[Path, Path]], target: Path, split: str, first_id: int, min_area: int
) -> dict[str, list[dict[str, Any]]]:
    """Write the PNGs and images of a split; returns the lists "images" and "annotations" of its JSON file."""
    png_folder, image_folder = _make_folders(target, split)
    part: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    for image_id, (image, annotation) in enumerate(tqdm(pairs, desc=split, unit="image"), start=first_id):
        semantic = _read_semantic(image, annotation)
        segment_ids, segments_info = panoptic_segments(semantic, CATEGORIES, min_area)
        write_segment_ids(png_folder / annotation.name, segment_ids)
        shutil.copyfile(image, image_folder / image.name)
        height, width = semantic.shape
        part["images"].append({"id": image_id, "file_name": image.name, "height": height, "width": width})
        entry = {"image_id": image_id, "file_name": annotation.name, "segments_info": segments_info}
        part["annotations"].append(entry)
    return part


def _read_semantic(image: Path, annotation: Path) -> np.ndarray:
    """Read the values (H, W) uint8 of an annotation and compare its size with the image.

    Raises:
        DataError: a file cannot be read, the sizes differ, or a value is not a class.
    """
    pixels = read_rgb(image)
    try:
        semantic = read_classes(annotation)
    except ImageFileError as error:
        raise DataError(str(error)) from None
    if semantic.shape != pixels.shape[:2]:
        sizes = [f"{width} x {height}" for height, width in (semantic.shape, pixels.shape[:2])]
        raise DataError(f"{annotation} is {sizes[0]}, its image {sizes[1]}")
    if semantic.max() > VOID:
        raise DataError(f"{annotation} has the value {semantic.max()}; classes are 0..{VOID - 1}, void is {VOID}")
    return semantic


def _join_splits(target: Path, splits: tuple[str, ...], joined: str) -> None:
    """Copy the files of splits to the folders of the joined split."""
    folders = _make_folders(target, joined)
    for split in splits:
        for source, folder in zip(_make_folders(target, split), folders, strict=True):
            shutil.copytree(source, folder, dirs_exist_ok=True)


def _make_folders(target: Path, split: str) -> tuple[Path, Path]:
    """Create and return the folders of a split's PNGs and images."""
    folders = _json_path(target, split).with_suffix(""), target / split
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders


def _json_path(target: Path, split: str) -> Path:
    return target / "annotations" / f"panoptic_{split}.json"


def _write_json(path: Path, part: dict[str, list[dict[str, Any]]], min_area: int) -> None:
    origin = f"CamVid; objects are connected regions of at least {min_area} pixels (pseudo-instances)"
    categories = CategorySet(tuple(CATEGORIES.values())).to_coco()
    path.write_text(json.dumps({"info": {"description": origin}, **part, "categories": categories}))


def _summary(part: dict[str, list[dict[str, Any]]]) -> str:
    segments = sum(len(entry["segments_info"]) for entry in part["annotations"])
    return f"{len(part['images'])} images, {segments} segments"
