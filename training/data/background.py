# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Addition of a stuff category for the pixels without a segment, for data sets of things only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ciae_ros.core.atomic_file import new_folder_atomically, open_atomically
from ciae_ros.core.coco_panoptic import check_png_names, read_content, write_segment_ids
from ciae_ros.core.images.files import read_segment_ids
from training.data.sample import DataError


def add_background(source: Path, target: Path, name: str) -> None:
    """Write a copy of a data set in COCO's panoptic format, in which the pixels without a segment are a stuff segment.

    Args:
        source: JSON file, with its PNGs in the folder of the same name next to it.
        target: JSON file to write, with its PNGs in the folder of the same name next to it. Neither must exist.
        name: name of the category.

    Raises:
        DataError: the data cannot be read, have a category of this name, or the target exists.
        OSError: the target cannot be written.
    """
    if existing := next((path for path in (target, target.with_suffix("")) if path.exists()), None):
        raise DataError(f"{existing} exists already: give another path, or remove it")
    try:
        content = read_content(source)
        check_png_names(content["annotations"], source)
        category = _new_category(content["categories"], name)
        with new_folder_atomically(target.with_suffix("")) as folder:
            annotations = [*_with_background(source.with_suffix(""), folder, content["annotations"], category["id"])]
    except (KeyError, TypeError) as error:
        raise DataError(f"{source} is not in COCO's panoptic format: {error!r}") from None
    except ValueError as error:
        raise DataError(str(error)) from None
    changed = content | {"annotations": annotations, "categories": [*content["categories"], category]}
    with open_atomically(target) as file:
        file.write(json.dumps(changed).encode())


def _new_category(categories: list[dict[str, Any]], name: str) -> dict[str, Any]:
    if any(category["name"] == name for category in categories):
        raise ValueError(f"there is a category {name!r} already: give another --name")
    return {"id": 1 + max((int(category["id"]) for category in categories), default=0), "name": name, "isthing": 0}


def _with_background(
    source: Path, target: Path, annotations: list[dict[str, Any]], category_id: int
) -> Iterator[dict[str, Any]]:
    """Write the PNGs and yield the annotations."""
    for annotation in tqdm(annotations, unit=" images", disable=None):
        ids = read_segment_ids(source / annotation["file_name"])
        segments = list(annotation["segments_info"])
        mask = ids == 0
        if mask.any():
            new_id = 1 + max((int(segment["id"]) for segment in segments), default=0)
            ids = np.where(mask, new_id, ids)
            box = list(cv2.boundingRect(mask.astype(np.uint8)))
            segments.append(
                {"id": new_id, "category_id": category_id, "area": int(mask.sum()), "bbox": box, "iscrowd": 0}
            )
        write_segment_ids(target / annotation["file_name"], ids)
        yield {**annotation, "segments_info": segments}
