# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""COCO's panoptic format: a JSON file and one PNG per image, whose colours encode segment ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from ciae_ros.core.categories import CategorySet
from ciae_ros.core.data_set_categories import read_categories
from ciae_ros.core.images.files import read_segment_ids
from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.core.text_file import read_text

ImageId = int | str
"""Id of an image in a data set."""


@dataclass(frozen=True)
class PanopticAnnotations:
    """The annotations of one split of a data set."""

    path: Path
    """Path of the JSON file."""
    png_folder: Path
    images: dict[ImageId, dict[str, Any]]
    """Image id to its entry (file_name, height, width, ...)."""
    annotations: dict[ImageId, dict[str, Any]]
    """Image id to its entry (file_name of the PNG, segments_info). Categories have the ids of `categories`."""
    categories: CategorySet
    category_ids: Mapping[int, int]
    """Id in `categories` by id in the data set, of all categories that the data set has."""

    @classmethod
    def load(cls, path: Path) -> PanopticAnnotations:
        """Load a JSON file; the PNGs are in the folder of the same name next to it.

        Raises:
            ValueError: the file is not in the format.
            OSError: it cannot be read.
        """
        content = read_content(path)
        try:
            images = {entry["id"]: entry for entry in content["images"]}
            annotations = {entry["image_id"]: entry for entry in content["annotations"]}
            categories, ids = read_categories(content["categories"])
            if any(ours != theirs for theirs, ours in ids.items()):
                annotations = {image_id: renumbered(entry, ids) for image_id, entry in annotations.items()}
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not in COCO's panoptic format: {error!r}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return cls(path, path.with_suffix(""), images, annotations, categories, ids)

    @property
    def annotated(self) -> list[ImageId]:
        """Ids of the images that have an annotation, in ascending order; names follow numbers."""
        return sorted(self.images.keys() & self.annotations.keys(), key=lambda one: (isinstance(one, str), one))

    def first(self, count: int) -> PanopticAnnotations:
        """Return the annotations of the first `count` images."""
        return self.part(0, count)

    def part(self, begin: int, end: int | None = None) -> PanopticAnnotations:
        """Return the annotations of the images from position `begin` up to, without it, `end`."""
        return replace(self, annotations=dict(islice(self.annotations.items(), begin, end)))

    def segment_ids(self, image_id: ImageId) -> np.ndarray:
        """Load the segment ids of an image as (H, W) int32; 0 is void.

        Raises:
            ImageFileError: the PNG is missing or corrupt, or not one of segment ids.
        """
        return read_segment_ids(self.png_folder / self.annotations[image_id]["file_name"])


def read_content(path: Path) -> dict[str, Any]:
    """Read a JSON file in COCO's panoptic format, with / as the separator of folders in its `file_name`s.

    Raises:
        ValueError: the file is not in the format.
        OSError: it cannot be read.
    """
    try:
        content: dict[str, Any] = json.loads(read_text(path))
        for entry in (*content["images"], *content["annotations"]):
            if "\\" in entry.get("file_name", ""):
                entry["file_name"] = entry["file_name"].replace("\\", "/")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not in COCO's panoptic format: {error!r}") from None
    return content


def check_png_names(entries: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Check that the PNGs of annotations are in their folder, so that none is written elsewhere.

    Args:
        entries: entries of `annotations`.
        path: path of the JSON file, for the message.

    Raises:
        ValueError: the name of a PNG is missing, is absolute, or leaves the folder.
    """
    for entry in entries:
        if "file_name" not in entry:
            raise ValueError(f"{path}: the annotation of image {entry.get('image_id')!r} has no file_name")
        name = PurePosixPath(entry["file_name"])
        if name.is_absolute() or ".." in name.parts:
            raise ValueError(f"{path}: the PNG {name} is not in the folder {path.with_suffix('')}")


def image_folder_of(path: Path) -> Path:
    """Return the image folder in COCO's layout: ROOT/X for ROOT/annotations/panoptic_X.json."""
    return path.parent.parent / path.stem.removeprefix("panoptic_")


def write_results(
    results: Iterable[tuple[ImageId, str, PanopticResult]], path: Path, annotations: PanopticAnnotations
) -> None:
    """Write results in the format that evaluators and COCO's test server accept.

    Args:
        results: tuples of image id, file name of the PNG, and result.
        path: path of the JSON file; the PNGs go to the folder of the same name next to it.
        annotations: annotations whose images and categories are copied, with the ids of the data set.

    Raises:
        OSError: the files cannot be written.
    """
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    # Written last: a JSON file exists only if all of its PNGs do.
    path.unlink(missing_ok=True)
    data_set_ids = {ours: theirs for theirs, ours in annotations.category_ids.items()}
    entries, images = [], []
    for image_id, file_name, result in results:
        # A category that only the network has is nothing in the data set.
        known = [segment for segment in result.segments if segment.category.id in data_set_ids]
        ids = result.label_map
        if len(known) < len(result.segments):
            ids = np.where(np.isin(ids, [segment.id for segment in known]), ids, 0)
        write_segment_ids(folder / file_name, ids)
        images.append(annotations.images[image_id])
        segments_info = [_segment_info(segment, data_set_ids[segment.category.id]) for segment in known]
        entries.append({"image_id": image_id, "file_name": file_name, "segments_info": segments_info})
    categories = [
        {**entry, "id": data_set_ids[entry["id"]]}
        for entry in annotations.categories.to_coco()
        if entry["id"] in data_set_ids
    ]
    path.write_text(json.dumps({"images": images, "annotations": entries, "categories": categories}))


def write_segment_ids(path: Path, ids: np.ndarray) -> None:
    """Write segment ids (H, W) as the colours of a PNG file, in a folder that is created if it is missing.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not by OpenCV, which does not report a full disk.
    path.write_bytes(encode_segment_ids(ids))


def encode_segment_ids(ids: np.ndarray) -> bytes:
    """Encode segment ids (H, W) as the colours of a PNG file."""
    ids = ids.astype(np.int32)
    blue_green_red = np.stack((ids >> 16, ids >> 8 & 255, ids & 255), axis=-1)
    return cv2.imencode(".png", blue_green_red.astype(np.uint8))[1].tobytes()


def _segment_info(segment: Segment, category_id: int) -> dict[str, Any]:
    return {
        "id": segment.id,
        "category_id": category_id,
        "area": segment.area,
        "bbox": list(segment.box),
        "iscrowd": 0,
        "score": segment.score,
    }


def renumbered(annotation: dict[str, Any], ids: Mapping[int, int]) -> dict[str, Any]:
    """Return an annotation with the ids of the categories that the network has for those of the data set.

    Raises:
        ValueError: a segment has an unknown category.
    """
    if "segments_info" not in annotation:
        return annotation
    segments = [dict(segment) for segment in annotation["segments_info"]]
    for segment in segments:
        if segment.get("category_id") not in ids:
            raise ValueError(
                f"segment {segment.get('id')} of {annotation.get('file_name')} has category "
                f"{segment.get('category_id')}, unknown to the data set"
            )
        segment["category_id"] = ids[segment["category_id"]]
    return {**annotation, "segments_info": segments}
