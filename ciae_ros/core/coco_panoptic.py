# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""COCO's panoptic format: a JSON file and one PNG per image, whose colours encode segment ids."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ciae_ros.core.categories import CategorySet
from ciae_ros.core.images.files import read_segment_ids
from ciae_ros.core.result import PanopticResult
from ciae_ros.core.text_file import read_text


@dataclass(frozen=True)
class PanopticAnnotations:
    """The annotations of one split of a data set."""

    path: Path
    """Path of the JSON file."""
    png_folder: Path
    images: dict[int, dict[str, Any]]
    """Image id to its entry (file_name, height, width, ...)."""
    annotations: dict[int, dict[str, Any]]
    """Image id to its entry (file_name of the PNG, segments_info)."""
    categories: CategorySet

    @classmethod
    def load(cls, path: Path) -> PanopticAnnotations:
        """Load a JSON file; the PNGs are in the folder of the same name next to it.

        Raises:
            ValueError: the file is not in the format.
            OSError: it cannot be read.
        """
        try:
            content = json.loads(read_text(path))
            images = {entry["id"]: entry for entry in content["images"]}
            annotations = {entry["image_id"]: entry for entry in content["annotations"]}
            categories = CategorySet.from_coco(content["categories"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not in COCO's panoptic format: {error!r}") from None
        return cls(path, path.with_suffix(""), images, annotations, categories)

    def first(self, count: int) -> PanopticAnnotations:
        """Return the annotations of the first `count` images."""
        return replace(self, annotations=dict(islice(self.annotations.items(), count)))

    def segment_ids(self, image_id: int) -> np.ndarray:
        """Load the segment ids of an image as (H, W) int32; 0 is void.

        Raises:
            ImageFileError: the PNG is missing or corrupt, or not one of segment ids.
        """
        return read_segment_ids(self.png_folder / self.annotations[image_id]["file_name"])


def image_folder_of(path: Path) -> Path:
    """Return the image folder in COCO's layout: ROOT/X for ROOT/annotations/panoptic_X.json."""
    return path.parent.parent / path.stem.removeprefix("panoptic_")


def write_results(
    results: Iterable[tuple[int, str, PanopticResult]], path: Path, annotations: PanopticAnnotations
) -> None:
    """Write results in the format that evaluators and COCO's test server accept.

    Args:
        results: tuples of image id, file name of the PNG, and result.
        path: path of the JSON file; the PNGs go to the folder of the same name next to it.
        annotations: annotations whose images and categories are copied.

    Raises:
        OSError: the files cannot be written.
    """
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    # Written last: a JSON file exists only if all of its PNGs do.
    path.unlink(missing_ok=True)
    entries, images = [], []
    for image_id, file_name, result in results:
        ids = result.label_map
        png = np.stack((np.zeros_like(ids), ids >> 8, ids & 255), axis=-1).astype(np.uint8)
        if not cv2.imwrite(str(folder / file_name), png):
            raise OSError(f"{folder / file_name} cannot be written")
        images.append(annotations.images[image_id])
        entries.append({"image_id": image_id, "file_name": file_name, "segments_info": _segments_info(result)})
    content = {"images": images, "annotations": entries, "categories": annotations.categories.to_coco()}
    path.write_text(json.dumps(content))


def _segments_info(result: PanopticResult) -> list[dict[str, Any]]:
    return [
        {
            "id": segment.id,
            "category_id": segment.category.id,
            "area": segment.area,
            "bbox": list(segment.box),
            "iscrowd": 0,
            "score": segment.score,
        }
        for segment in result.segments
    ]
