# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""An annotated image: its pixels, and the segment of each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ciae_ros.core.coco_panoptic import ImageId, PanopticAnnotations
from ciae_ros.core.images.files import ImageFileError, exif_orientation, read_image
from ciae_ros.inference import CategorySet

VOID = -1
"""Segment of unannotated pixels."""
CROWD = -2
"""Segment of pixels of a crowd, whose objects are not annotated individually."""


class DataError(ValueError):
    """Invalid data; the message names the file and what is wrong with it."""


@dataclass
class Sample:
    """An image of H x W pixels with n instances; its data set has S stuff classes."""

    image: Tensor
    """Pixels (3, H, W) uint8, RGB."""
    segments: Tensor
    """Segments (H, W) int16, s_i of Sec. III-A: 0..S-1 are stuff classes, S + k is instance k; or `VOID` or `CROWD`."""
    classes: Tensor
    """Thing class of each instance (n,) int64, from 0."""


def read_sample(annotations: PanopticAnnotations, image_folder: Path, image_id: ImageId) -> Sample:
    """Read an image and its segments.

    Pixels of a crowd segment become `CROWD`. Several segments of a stuff class become one.

    Raises:
        DataError: the image or its PNG is missing or corrupt, their sizes differ, the PNG has a segment that the JSON
            does not list, or the data set does not have the category of a segment.
    """
    path = image_folder / annotations.images[image_id]["file_name"]
    image = torch.from_numpy(read_rgb(path)).permute(2, 0, 1).contiguous()
    try:
        ids = annotations.segment_ids(image_id)
    except ImageFileError as error:
        raise DataError(str(error)) from None
    entry = annotations.annotations[image_id]
    png = annotations.png_folder / entry["file_name"]
    if ids.shape != image.shape[1:]:
        height, width = image.shape[1:]
        raise DataError(
            f"{png} is {ids.shape[1]} x {ids.shape[0]} pixels, its image {path} {width} x {height}{_orientation(path)}"
        )
    values, classes = _segment_values(entry["segments_info"], annotations.categories, png)
    return Sample(image, torch.from_numpy(_look_up(ids, values, png)), torch.tensor(classes, dtype=torch.int64))


def read_rgb(path: Path) -> np.ndarray:
    """Read the pixels (H, W, 3) uint8 of an image file; see `read_image`.

    Raises:
        DataError: the file is missing, corrupt or too large.
    """
    try:
        return read_image(path, "RGB")
    except ImageFileError as error:
        raise DataError(str(error)) from None


def _orientation(path: Path) -> str:
    """Return a remark on an EXIF orientation, for messages about the size of the image."""
    orientation = exif_orientation(path)
    return f" as stored (its EXIF orientation {orientation} is ignored)" if orientation != 1 else ""


def _segment_values(
    segments_info: list[dict[str, Any]], categories: CategorySet, png: Path
) -> tuple[dict[int, int], list[int]]:
    """Return the value in `Sample.segments` of each segment id, and the classes of the instances."""
    index_of_category = {category.id: index for index, category in enumerate(categories.categories)}
    num_stuff = len(categories.stuff)
    values = {0: VOID}
    classes: list[int] = []
    for segment in segments_info:
        index = index_of_category.get(segment["category_id"])
        if index is None:
            raise DataError(
                f"segment {segment['id']} of {png} has category {segment['category_id']}, unknown to the data set"
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
    """Return values[ids] as int16."""
    known = np.array(sorted(values))
    position = np.searchsorted(known, ids)
    unknown = known[np.minimum(position, len(known) - 1)] != ids
    if unknown.any():
        raise DataError(f"{png} has segment {ids[unknown][0]}, which its JSON does not list")
    return np.array([values[i] for i in known.tolist()], np.int16)[position]
