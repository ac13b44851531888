# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Conversion of semantic annotations to COCO's panoptic format.

Input: a folder of images and a folder of PNGs with the same names, whose grey values or colours are classes; and a YAML
file that describes the classes:

    classes:
      - {id: 1, name: road, value: 0, color: [128, 64, 128]}
      - {id: 2, name: car, value: 1, color: [0, 0, 142], kind: thing}
    void: [255]

Without values, the colours are those of the annotations, and `void` lists colours. Stuff is the default kind. Each
connected region of a thing class becomes one object (see `training.data.camvid`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from ciae_ros.core.atomic_file import new_folder_atomically, open_atomically
from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.coco_panoptic import image_folder_of, write_segment_ids
from ciae_ros.core.images.files import SUFFIXES, ImageFileError, read_classes, read_segment_ids
from ciae_ros.core.text_file import read_text
from ciae_ros.inference.category_map import KINDS, STUFF
from training.data.camvid import MIN_AREA, panoptic_segments
from training.data.sample import DataError, read_rgb

RED, GREEN, BLUE = 1, 256, 65536
"""Factors of the channels in the value of a colour."""


@dataclass(frozen=True)
class SemanticClasses:
    """The classes of a data set with semantic annotations."""

    categories: Mapping[int, Category]
    """Category by the value of its pixels; that of a colour is R + 256 G + 65536 B."""
    void: frozenset[int]
    """Values of pixels without a class."""
    are_colors: bool
    """Whether the annotations are coloured."""

    @classmethod
    def load(cls, path: Path) -> SemanticClasses:
        """Read a YAML file.

        Raises:
            DataError: it cannot be read, or its content is not a list of classes.
        """
        try:
            content = yaml.safe_load(read_text(path))
            entries = content["classes"]
            categories = CategorySet(tuple(_category(entry) for entry in entries))
            are_colors = not any("value" in entry for entry in entries)
            values = [_value(entry["color"] if are_colors else entry["value"]) for entry in entries]
            void = frozenset(map(_value, content.get("void", ())))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(
                f"{path} is not a list of classes, which need id, name and color, and either all or none of them a "
                f"value: {error!r}"
            ) from None
        if len(set(values) | void) < len(values) + len(void):
            raise DataError(f"{path} has two classes with the same pixels")
        of_class = [categories.by_id[int(entry["id"])] for entry in entries]
        return cls(dict(zip(values, of_class, strict=True)), void, are_colors)

    def read(self, path: Path) -> np.ndarray:
        """Read an annotation as values (H, W).

        Raises:
            DataError: it cannot be read, or has a value that is neither a class nor void.
        """
        try:
            values = read_segment_ids(path) if self.are_colors else read_classes(path)
        except ImageFileError as error:
            raise DataError(str(error)) from None
        if unknown := sorted(set(np.unique(values).tolist()) - self.categories.keys() - self.void):
            found = f"colour {_rgb(unknown[0])}" if self.are_colors else f"value {unknown[0]}"
            raise DataError(f"{path} has the {found}, which is neither a class nor void")
        return values


def convert(
    images: Path,
    annotations: Path,
    target: Path,
    classes: SemanticClasses,
    only: Sequence[str] | None = None,
    without: Sequence[str] = (),
    min_area: int = MIN_AREA,
) -> None:
    """Write the images and annotations in COCO's layout: images in ROOT/X for ROOT/annotations/panoptic_X.json.

    Args:
        images: folder of images.
        annotations: folder of PNGs with the names of the images.
        target: JSON file to write. Neither it nor its folders must exist.
        classes: classes of the annotations.
        only: names without suffix of the images to convert; None for all.
        without: names without suffix of images to leave out.
        min_area: 8-connected regions of a thing class with fewer pixels become void.

    Raises:
        DataError: the target exists, or an image or annotation is missing or invalid.
        OSError: a file cannot be written.
    """
    folder = image_folder_of(target)
    if existing := next((path for path in (target, target.with_suffix(""), folder) if path.exists()), None):
        raise DataError(f"{existing} exists already: give another path, or remove it")
    paths = _select(images, only, without)
    content: dict[str, Any] = {"images": [], "annotations": []}
    target.parent.mkdir(parents=True, exist_ok=True)
    with new_folder_atomically(target.with_suffix("")) as pngs, new_folder_atomically(folder) as copies:
        pngs.mkdir()
        copies.mkdir()
        for image_id, path in enumerate(tqdm(paths, desc=target.stem, unit=" images", disable=None), start=1):
            annotation = annotations / f"{path.stem}.png"
            values = classes.read(annotation)
            height, width = read_rgb(path).shape[:2]
            if values.shape != (height, width):
                raise DataError(f"{annotation} is {values.shape[1]} x {values.shape[0]}, its image {width} x {height}")
            ids, segments_info = panoptic_segments(values, classes.categories, min_area)
            write_segment_ids(pngs / annotation.name, ids)
            shutil.copyfile(path, copies / path.name)
            content["images"].append({"id": image_id, "file_name": path.name, "height": height, "width": width})
            content["annotations"].append(
                {"image_id": image_id, "file_name": annotation.name, "segments_info": segments_info}
            )
    categories = CategorySet(tuple(classes.categories.values())).to_coco()
    with open_atomically(target) as file:
        file.write(json.dumps(content | {"categories": categories}).encode())


def _select(folder: Path, only: Sequence[str] | None, without: Sequence[str]) -> list[Path]:
    """Return the paths of the images by name.

    Raises:
        DataError: the folder does not exist, has no image of a name in `only`, or no image is left.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    paths = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}
    wanted = paths.keys() if only is None else set(only)
    if missing := sorted(wanted - paths.keys()):
        raise DataError(f"{folder} has no image {missing[0]}")
    chosen = wanted - set(without)
    if not chosen:
        raise DataError(f"{folder} has no images to convert")
    return [path for name, path in paths.items() if name in chosen]


def _category(entry: Mapping[str, Any]) -> Category:
    return Category.from_coco({**entry, "isthing": KINDS[entry.get("kind", STUFF)]})


def _value(value: Any) -> int:
    """Return the value of a grey value or of a colour [R, G, B]."""
    if isinstance(value, int):
        return value
    red, green, blue = value
    return int(RED * red + GREEN * green + BLUE * blue)


def _rgb(value: int) -> list[int]:
    return [value % GREEN, value // GREEN % GREEN, value // BLUE]
