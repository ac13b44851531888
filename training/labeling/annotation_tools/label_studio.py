# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Label Studio's JSON format (https://labelstud.io/guide/task_format), with brushes and polygons.

Brushes are run-length encoded as by the package rle-pack of thi.ng/umbrella: a header (32 bits: number of values; 5:
bits of a value minus 1; 4 x 4: bits of the four kinds of lengths minus 1), then runs (1 bit: repeated value, or
individual ones; 2: kind of length; the length minus 1; the values). The values are R, G, B and alpha of each pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from ciae_ros.core.atomic_file import open_atomically
from ciae_ros.core.categories import CategorySet
from ciae_ros.core.run_lengths import encode_runs
from ciae_ros.core.text_file import read_text
from training.labeling.annotation_tools.shapes import (
    IMAGES,
    AnnotatedImage,
    AnnotationError,
    Shape,
    base_name,
    label_names,
    polygon_mask,
)

FILE = "tasks.json"
CONFIGURATION = "labeling_interface.xml"
LENGTH_BITS = (3, 4, 8, 16)
VALUE_BITS = 8
CHANNELS = 4
TAG, IMAGE = "labels", "image"


def write_label_studio(folder: Path, images: Iterable[AnnotatedImage], categories: CategorySet) -> Path:
    """Write tasks.json, whose predictions are the labels, and the labelling interface of the project.

    Images are referred to as in Label Studio's local storage, relative to its document root.

    Raises:
        OSError: the folder cannot be written.
    """
    tasks = [
        {
            "data": {"image": f"/data/local-files/?d={IMAGES}/{image.file_name}"},
            "predictions": [
                {
                    "model_version": "teachers",
                    "result": [_brush(shape, image, number) for number, shape in enumerate(image.shapes)],
                }
            ],
        }
        for image in images
    ]
    labels = "".join(
        f"    <Label value={quoteattr(name)} background='#{red:02x}{green:02x}{blue:02x}'/>\n"
        for name, (red, green, blue) in label_names(categories).items()
    )
    (folder / CONFIGURATION).write_text(
        f"<View>\n  <Image name='{IMAGE}' value='$image' zoom='true'/>\n"
        f"  <BrushLabels name='{TAG}' toName='{IMAGE}'>\n{labels}  </BrushLabels>\n</View>\n"
    )
    with open_atomically(folder / FILE) as file:
        file.write(json.dumps(tasks).encode())
    return folder / FILE


def read_label_studio(path: Path) -> Iterator[AnnotatedImage]:
    """Read the images of an export in the format JSON that have an annotation; the last one of each counts.

    Raises:
        AnnotationError: it is not in the format, or has shapes other than brushes and polygons.
        OSError: it cannot be read.
    """
    try:
        tasks = json.loads(read_text(path))
        for task in tasks:
            annotations = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
            # Without a shape the size of the image is unknown.
            if annotations and annotations[-1]["result"]:
                yield _read_task(task, annotations[-1]["result"], path)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(f"{path} is not in Label Studio's format JSON: {error!r}") from None


def _read_task(task: dict[str, Any], results: list[dict[str, Any]], path: Path) -> AnnotatedImage:
    shapes = []
    height, width = int(results[0]["original_height"]), int(results[0]["original_width"])
    for result in results:
        kind, value = result["type"], result["value"]
        if kind == "brushlabels":
            mask = decode_brush(value["rle"], height, width)
        elif kind == "polygonlabels":
            points = np.array(value["points"], float) * (width / 100, height / 100)
            mask = polygon_mask(points.ravel().tolist(), height, width)
        else:
            raise AnnotationError(f"{path} has a shape of the kind {kind}: use brushes and polygons")
        shapes.append(Shape(str(value[kind][0]), mask))
    return AnnotatedImage(base_name(str(task["data"]["image"])), height, width, shapes)


def _brush(shape: Shape, image: AnnotatedImage, number: int) -> dict[str, Any]:
    return {
        "id": f"segment{number}",
        "type": "brushlabels",
        "from_name": TAG,
        "to_name": IMAGE,
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode_brush(shape.mask), "brushlabels": [shape.label]},
    }


def encode_brush(mask: np.ndarray) -> list[int]:
    """Encode a mask (H, W) bool as the bytes of a brush."""
    bits = [f"{CHANNELS * mask.size:032b}{VALUE_BITS - 1:05b}", *(f"{size - 1:04b}" for size in LENGTH_BITS)]
    values, lengths = encode_runs(mask)
    longest = 1 << LENGTH_BITS[-1]
    for value, pixels in zip(values.tolist(), lengths.tolist(), strict=True):
        remaining = CHANNELS * pixels
        while remaining:
            length = min(remaining, longest)
            kind = next(kind for kind, size in enumerate(LENGTH_BITS) if length <= 1 << size)
            bits.append(f"1{kind:02b}{length - 1:0{LENGTH_BITS[kind]}b}{255 if value else 0:08b}")
            remaining -= length
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def decode_brush(rle: list[int], height: int, width: int) -> np.ndarray:
    """Decode the bytes of a brush into a mask (H, W) bool.

    Raises:
        ValueError: it does not have the pixels of the image.
    """
    bits = "".join(f"{byte:08b}" for byte in rle)
    position = 0

    def read(size: int) -> int:
        nonlocal position
        position += size
        return int(bits[position - size : position], 2)

    count, value_bits = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if count != CHANNELS * height * width:
        raise ValueError(f"a brush has {count} values instead of {CHANNELS * height * width}")
    values = np.zeros(count, np.uint32)
    begin = 0
    while begin < count:
        is_repeated = read(1)
        end = begin + 1 + read(sizes[read(2)])
        if is_repeated:
            values[begin:end] = read(value_bits)
        else:
            values[begin:end] = [read(value_bits) for _ in range(end - begin)]
        begin = end
    return values.reshape(height, width, CHANNELS)[..., 3] > 0
