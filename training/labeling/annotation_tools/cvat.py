# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""CVAT's format "CVAT for images 1.1" (https://docs.cvat.ai/docs/other/xml_format)."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import cv2
import numpy as np

from ciae_ros.core.atomic_file import open_atomically
from ciae_ros.core.categories import CategorySet
from ciae_ros.core.run_lengths import encode_runs
from training.labeling.annotation_tools.shapes import AnnotatedImage, AnnotationError, Shape, label_names, polygon_mask

FILE = "annotations.xml"
LABELS = "labels.json"
"""The labels of a project, for CVAT's raw editor."""


def write_cvat(folder: Path, images: Iterable[AnnotatedImage], categories: CategorySet) -> Path:
    """Write annotations.xml and, for the project, labels.json.

    Raises:
        OSError: the folder cannot be written.
    """
    colors = {name: "#{:02x}{:02x}{:02x}".format(*color) for name, color in label_names(categories).items()}
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    root.append(_meta(colors))
    for number, image in enumerate(images):
        about = {"id": str(number), "name": image.file_name, "width": str(image.width), "height": str(image.height)}
        element = ElementTree.SubElement(root, "image", about)
        for order, shape in enumerate(image.shapes):
            ElementTree.SubElement(element, "mask", _mask_attributes(shape, order))
    labels = [{"name": name, "color": color, "type": "any", "attributes": []} for name, color in colors.items()]
    (folder / LABELS).write_text(json.dumps(labels, indent=1))
    with open_atomically(folder / FILE) as file:
        ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    return folder / FILE


def read_cvat(path: Path) -> Iterator[AnnotatedImage]:
    """Read the images of an XML file, or of the ZIP file that contains it.

    Raises:
        AnnotationError: it is not in the format, or has shapes other than masks and polygons.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open(FILE) as file:
                yield from _read(file, path)
        else:
            with path.open("rb") as file:
                yield from _read(file, path)
    except (ElementTree.ParseError, zipfile.BadZipFile, KeyError, ValueError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(f"{path} is not in the format CVAT for images 1.1: {error!r}") from None


def _read(file: IO[bytes], path: Path) -> Iterator[AnnotatedImage]:
    for _, element in ElementTree.iterparse(file):
        if element.tag == "track":
            raise AnnotationError(f"{path} is in the format CVAT for video: export it as CVAT for images 1.1")
        if element.tag != "image":
            continue
        height, width = int(element.attrib["height"]), int(element.attrib["width"])
        ordered = sorted(element, key=lambda one: int(one.attrib.get("z_order", "0")))
        shapes = [Shape(one.attrib["label"], _mask(one, height, width, path)) for one in ordered if one.tag != "tag"]
        yield AnnotatedImage(element.attrib["name"], height, width, shapes)
        element.clear()


def _mask(element: ElementTree.Element, height: int, width: int, path: Path) -> np.ndarray:
    if element.tag == "polygon":
        points = chain.from_iterable(point.split(",") for point in element.attrib["points"].split(";"))
        return polygon_mask([float(value) for value in points], height, width)
    if element.tag != "mask":
        raise AnnotationError(f"{path} has a shape of the kind {element.tag}: use masks and polygons")
    left, top, box_width, box_height = (int(element.attrib[name]) for name in ("left", "top", "width", "height"))
    lengths = [int(value) for value in element.attrib["rle"].split(",")]
    # Background and foreground by turns.
    values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    mask = np.zeros((height, width), bool)
    mask[top : top + box_height, left : left + box_width] = values.reshape(box_height, box_width)
    return mask


def _meta(colors: dict[str, str]) -> ElementTree.Element:
    """Return the description of the task, in which other readers of the format look for the labels."""
    meta = ElementTree.Element("meta")
    task = ElementTree.SubElement(meta, "task")
    ElementTree.SubElement(task, "mode").text = "annotation"
    labels = ElementTree.SubElement(task, "labels")
    for name, color in colors.items():
        label = ElementTree.SubElement(labels, "label")
        for key, value in (("name", name), ("color", color), ("type", "any")):
            ElementTree.SubElement(label, key).text = value
        ElementTree.SubElement(label, "attributes")
    return meta


def _mask_attributes(shape: Shape, order: int) -> dict[str, str]:
    left, top, width, height = cv2.boundingRect(shape.mask.astype(np.uint8))
    values, lengths = encode_runs(shape.mask[top : top + height, left : left + width])
    runs = [*([0] if values[0] else []), *lengths.tolist()]
    return {
        "label": shape.label,
        "source": "auto",
        "occluded": "0",
        "rle": ", ".join(map(str, runs)),
        "left": str(left),
        "top": str(top),
        "width": str(width),
        "height": str(height),
        "z_order": str(order),
    }
