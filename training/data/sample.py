# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""One annotated image as training needs it: pixels, and the segment that each of them belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference import CategorySet

VOID = -1
"""Segment of pixels that are not annotated."""
CROWD = -2
"""Segment of pixels that belong to a group of objects which are not told apart."""


class DataError(ValueError):
    """An annotated image that cannot be used; the message names the file and what is wrong with it."""


@dataclass
class Sample:
    """An image of H x W pixels with S stuff classes in its data set and n instances in it."""

    image: Tensor
    """(3, H, W) uint8, RGB."""
    segments: Tensor
    """(H, W) int16: s_i of Sec. III-A. 0..S-1 is a stuff class, S + k instance k; below 0 are `VOID` and `CROWD`."""
    classes: Tensor
    """(n,) int64: thing class of each instance, from 0."""


def read_sample(annotations: PanopticAnnotations, image_folder: Path, image_id: int) -> Sample:
    """Read an image and its segments.

    A crowd segment gets no instance: its pixels are `CROWD`. Several segments of one stuff class become one.

    Raises:
        DataError: the image or its PNG is missing or damaged, they differ in size, the PNG has a segment that the JSON
            does not list, or a segment has a category that the data set does not have.
    """
    path = image_folder / annotations.images[image_id]["file_name"]
    image = torch.from_numpy(read_rgb(path)).permute(2, 0, 1).contiguous()
    try:
        ids = annotations.segment_ids(image_id)
    except ValueError as error:
        raise DataError(str(error)) from None
    entry = annotations.annotations[image_id]
    png = annotations.png_folder / entry["file_name"]
    if ids.shape != image.shape[1:]:
        height, width = image.shape[1:]
        raise DataError(f"{png} is {ids.shape[1]} x {ids.shape[0]} pixels, its image {path} {width} x {height}")
    values, classes = _segment_values(entry["segments_info"], annotations.categories, png)
    return Sample(image, torch.from_numpy(_look_up(ids, values, png)), torch.tensor(classes, dtype=torch.int64))


def read_rgb(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 pixels of an image file as they are stored: a camera's note on its orientation is not followed.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with Image.open(path) as file:
            return np.array(file.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # What Pillow's decoders raise.
        raise DataError(f"{path} is damaged: {error}" if path.is_file() else f"{path} is missing") from None


def _segment_values(
    segments_info: list[dict[str, Any]], categories: CategorySet, png: Path
) -> tuple[dict[int, int], list[int]]:
    """Value in `Sample.segments` for each segment id, and the classes of the instances."""
    index_of_category = {category.id: index for index, category in enumerate(categories.categories)}
    num_stuff = len(categories.stuff)
    values = {0: VOID}
    classes: list[int] = []
    for segment in segments_info:
        index = index_of_category.get(segment["category_id"])
        if index is None:
            raise DataError(
                f"segment {segment['id']} of {png} has category {segment['category_id']}, which the data set has not"
            )
        if segment.get("iscrowd", 0):
            values[segment["id"]] = CROWD
        elif index < num_stuff:
            values[segment["id"]] = index
        else:
            values[segment["id"]] = num_stuff + len(classes)
            classes.append(index - num_stuff)
    return values, classes


def _look_up(ids: np.ndarray, values: dict[int, int], png: Path) -> np.ndarray:
    """values[ids] as int16."""
    known = np.array(sorted(values))
    position = np.searchsorted(known, ids)
    unknown = known[np.minimum(position, len(known) - 1)] != ids
    if unknown.any():
        raise DataError(f"{png} has segment {ids[unknown][0]}, which its JSON does not list")
    return np.array([values[i] for i in known.tolist()], np.int16)[position]
