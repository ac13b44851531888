# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Export of labels for correction, and import of corrected ones."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ciae_ros.core.atomic_file import open_atomically
from ciae_ros.core.categories import CategorySet
from ciae_ros.core.coco_panoptic import PanopticAnnotations, encode_segment_ids, read_content
from ciae_ros.core.text_file import read_text
from training.labeling.annotation_tools.cvat import read_cvat, write_cvat
from training.labeling.annotation_tools.label_studio import read_label_studio, write_label_studio
from training.labeling.annotation_tools.shapes import (
    IMAGES,
    AnnotatedImage,
    AnnotationError,
    base_name,
    to_labels,
    to_shapes,
)
from training.labeling.label_set import load_splits, review_order
from training.labeling.labels import Labels

WRITERS = {"cvat": write_cvat, "label-studio": write_label_studio}
"""Functions by annotation tool; each writes into an existing folder."""


@dataclass(frozen=True)
class ImportReport:
    """What was imported."""

    imported: list[str] = field(default_factory=list)
    """File names of the images with new labels."""
    unknown: list[str] = field(default_factory=list)
    """File names of images that the data set does not have."""


def export_labels(folder: Path, output: Path, tool: str, count: int | None = None) -> Path:
    """Write images and labels for an annotation tool, the least certain images first and reviewed ones last.

    The images are in a folder `images`.

    Args:
        folder: folder of a labelled data set.
        output: folder to write.
        tool: a key of `WRITERS`.
        count: maximum number of images; None for all.

    Returns:
        The file to import in the tool.

    Raises:
        ValueError: there is no complete data set in the folder.
        OSError: a file cannot be read or written.
    """
    loaded = load_splits(folder)
    places = [(split, one) for split, found in loaded.items() for one in found.annotated]
    places.sort(key=lambda place: review_order(loaded[place[0]].images[place[1]]))
    categories = next(iter(loaded.values())).categories

    def images() -> Iterator[AnnotatedImage]:
        for split, image_id in places[:count]:
            found = loaded[split]
            image, segments = found.images[image_id], found.annotations[image_id]["segments_info"]
            shapes = to_shapes(found.segment_ids(image_id), segments, categories)
            shutil.copyfile(folder / split / image["file_name"], output / IMAGES / image["file_name"])
            yield AnnotatedImage(image["file_name"], image["height"], image["width"], shapes)

    (output / IMAGES).mkdir(parents=True, exist_ok=True)
    return WRITERS[tool](output, images(), categories)


def import_labels(folder: Path, path: Path) -> ImportReport:
    """Replace labels by corrected ones, which are marked as reviewed.

    The previous PNGs remain; the annotations are replaced once all new PNGs are written.

    Args:
        folder: folder of a labelled data set.
        path: a .xml or .zip file of CVAT (CVAT for images 1.1), a .json file of Label Studio, or one in COCO's panoptic
            format, with its PNGs in the folder of the same name next to it.

    Raises:
        AnnotationError: the file is not in one of the formats, or its categories or sizes differ.
        ValueError: there is no complete data set in the folder.
        OSError: a file cannot be read or written.
    """
    loaded = load_splits(folder)
    categories = next(iter(loaded.values())).categories
    places = {
        found.images[one]["file_name"]: (split, one) for split, found in loaded.items() for one in found.annotated
    }
    contents = {split: read_content(found.path) for split, found in loaded.items()}
    images = {(split, one["id"]): one for split, content in contents.items() for one in content["images"]}
    annotations = {
        (split, one["image_id"]): one for split, content in contents.items() for one in content["annotations"]
    }
    report = ImportReport()
    for file_name, labels in _read(path, categories):
        name = _known_name(file_name, places)
        if name is None:
            report.unknown.append(file_name)
            continue
        place = places[name]
        image = images[place]
        if labels.ids.shape != (image["height"], image["width"]):
            raise AnnotationError(f"{path}: {file_name} is annotated with another size than its image")
        _replace(image, annotations[place], labels, loaded[place[0]].png_folder)
        report.imported.append(name)
    for split, content in contents.items():
        with open_atomically(loaded[split].path) as file:
            file.write(json.dumps(content).encode())
    return report


def _read(path: Path, categories: CategorySet) -> Iterator[tuple[str, Labels]]:
    """Yield file names and labels of the images of a file, of whatever format it is."""
    if path.suffix.lower() == ".xml" or zipfile.is_zipfile(path):
        yield from _labels(read_cvat(path), categories)
        return
    try:
        is_list = isinstance(json.loads(read_text(path)), list)
    except ValueError as error:
        raise AnnotationError(f"{path} is neither XML, ZIP nor JSON: {error}") from None
    if is_list:
        yield from _labels(read_label_studio(path), categories)
    else:
        yield from _coco(path, categories)


def _labels(images: Iterable[AnnotatedImage], categories: CategorySet) -> Iterator[tuple[str, Labels]]:
    for image in images:
        labels = to_labels(image, categories)
        # An image from which all shapes were removed was not reviewed.
        if labels.segments:
            yield image.file_name, labels


def _coco(path: Path, categories: CategorySet) -> Iterator[tuple[str, Labels]]:
    try:
        found = PanopticAnnotations.load(path)
    except ValueError as error:
        raise AnnotationError(str(error)) from None
    for image_id in found.annotated:
        image = found.images[image_id]
        shapes = to_shapes(found.segment_ids(image_id), found.annotations[image_id]["segments_info"], found.categories)
        annotated = AnnotatedImage(image["file_name"], image["height"], image["width"], shapes)
        yield image["file_name"], to_labels(annotated, categories)


def _known_name(file_name: str, names: Iterable[str]) -> str | None:
    """Return the name of an image in the data set; tools add folders, or a prefix that ends with a hyphen."""
    base = base_name(file_name)
    if base in names:
        return base
    return next((name for name in names if base.endswith(f"-{name}")), None)


def _replace(image: dict[str, Any], annotation: dict[str, Any], labels: Labels, folder: Path) -> None:
    """Write the PNG of new labels and change the entries of the image."""
    png = encode_segment_ids(labels.ids)
    stem = Path(image["file_name"]).stem
    name = f"{stem}.{hashlib.sha256(png).hexdigest()[:8]}.png"
    with open_atomically(folder / name) as file:
        file.write(png)
    annotation["file_name"], annotation["segments_info"] = name, labels.segments_info()
    image["reviewed"], image["certainty"] = True, round(float(np.mean(labels.ids > 0)), 4)
