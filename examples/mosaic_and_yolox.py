# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

r"""A teacher of one's own: MOSAIC's semantic maps and YOLOX's boxes, joined to instances.

    python -m training.label drive.mcap --output out/labels --map config/label_maps/road_scenes.yaml \
        --teacher "examples/mosaic_and_yolox.py?mosaic=mosaic_r4.tflite&yolox=yolox-nano"

It needs `pip install ai-edge-litert ncnn`. MOSAIC (TensorFlow's model garden, Apache-2.0) has the first 31 classes of
ADE20K, YOLOX-nano (Megvii, Apache-2.0) the 80 things of COCO.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.core.known_categories import data_set_categories
from ciae_ros.core.result import PanopticResult
from training.labeling.boxes import Box, join
from training.labeling.teacher import Teacher

OTHER = 0
"""Class of MOSAIC for all that is not among the first classes of ADE20K."""
NUM_CLASSES = 31
REGION = 1000
"""Added to a class of MOSAIC for the id of its category, which differs from those of COCO."""
SIZE = 416
"""Height and width of the input of YOLOX-nano."""
STRIDES = (8, 16, 32)
MIN_SCORE, NMS_IOU = 0.3, 0.5
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SAME_OBJECTS = {
    "person": ["person"],
    "car": ["car"],
    "bus": ["car"],
    "truck": ["car"],
    "chair": ["chair", "armchair"],
    "couch": ["sofa"],
    "bed": ["bed"],
    "dining table": ["table"],
    "potted plant": ["plant"],
}
"""Classes of MOSAIC of which an object of COCO may consist, besides `OTHER`."""


class MosaicAndYolox:
    """Labels images with two networks."""

    def __init__(self, mosaic: Path, yolox: Path) -> None:
        """Load MOSAIC from a .tflite file and YOLOX from NAME.param and NAME.bin, given without suffix."""
        self._segment, self._detect = _Mosaic(mosaic), _Yolox(yolox)
        self.name = f"{mosaic.stem} and {yolox.name}"
        content = (mosaic, yolox.with_suffix(".bin"))
        self.digest = hashlib.sha256(b"".join(path.read_bytes() for path in content)).hexdigest()[:12]
        ade20k = data_set_categories("ade20k")[:NUM_CLASSES]
        # A semantic map does not tell objects apart: all of its categories are stuff.
        self._regions = {
            value: Category(REGION + value, one.name, False, one.color) for value, one in enumerate(ade20k, start=1)
        }
        self._things = [one for one in data_set_categories("coco") if one.is_thing]
        self.categories = (*self._regions.values(), *self._things)
        values = {one.name: value for value, one in self._regions.items()}
        self._classes = {
            one.id: frozenset({OTHER, *(values[name] for name in SAME_OBJECTS.get(one.name, ()))})
            for one in self._things
        }

    def label(self, images: Sequence[np.ndarray]) -> list[PanopticResult]:
        """Label images one by one; see `Teacher`."""
        return [
            join(self._segment(image), self._regions, self._detect(image, self._things), self._classes)
            for image in images
        ]


class _Mosaic:
    """Semantic segmentation: classes (H, W) of an image."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415  An optional package.

        self._network = Interpreter(str(path))
        self._network.allocate_tensors()
        self._input, self._output = self._network.get_input_details()[0], self._network.get_output_details()[0]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height, width = self._input["shape"][1:3]
        resized = cv2.resize(image[..., ::-1], (int(width), int(height)), interpolation=cv2.INTER_AREA)
        self._network.set_tensor(self._input["index"], resized[None])
        self._network.invoke()
        classes = self._network.get_tensor(self._output["index"]).squeeze().astype(np.uint8)
        return cv2.resize(classes, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)


class _Yolox:
    """Detection of the 80 things of COCO."""

    def __init__(self, path: Path) -> None:
        import ncnn  # noqa: PLC0415  An optional package.

        self._ncnn, self._network = ncnn, ncnn.Net()
        # Threads that wait for each other take many times as long where another process uses the cores.
        self._network.opt.num_threads = 1
        self._network.load_param_mem(_without_focus(path.with_suffix(".param").read_text()))
        self._network.load_model(str(path.with_suffix(".bin")))
        self._grid = np.concatenate([_grid(stride) for stride in STRIDES])

    def __call__(self, image: np.ndarray, categories: Sequence[Category]) -> list[Box]:
        scale = SIZE / max(image.shape[:2])
        resized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        padded = np.full((SIZE, SIZE, 3), 114, np.uint8)
        padded[: resized.shape[0], : resized.shape[1]] = resized
        outputs = self._run((padded[..., ::-1] / np.float32(255) - MEAN) / DEVIATION)
        scores = outputs[:, 4:5] * outputs[:, 5:]
        found, best = scores.argmax(axis=1), scores.max(axis=1)
        x, y, stride = self._grid.T
        center = (outputs[:, :2] + np.stack((x, y), axis=1)) * stride[:, None]
        size = np.exp(outputs[:, 2:4]) * stride[:, None]
        corners = np.concatenate((center - size / 2, size), axis=1) / scale
        kept = cv2.dnn.NMSBoxesBatched(corners.tolist(), best.tolist(), found.tolist(), MIN_SCORE, NMS_IOU)
        return [
            Box(categories[found[i]], float(best[i]), _clipped(corners[i], image.shape))
            for i in np.ravel(kept).tolist()
        ]

    def _run(self, image: np.ndarray) -> np.ndarray:
        """Return the outputs (boxes, 85) for an image (SIZE, SIZE, 3)."""
        channels = np.ascontiguousarray(image.astype(np.float32).transpose(2, 0, 1))
        # The focus layer: each channel becomes four of half the size.
        focus = np.concatenate([channels[:, row::2, column::2] for column in (0, 1) for row in (0, 1)])
        extractor: Any = self._network.create_extractor()
        # A matrix of ncnn does not keep its array alive; `focus` does until the network has run.
        extractor.input("images", self._ncnn.Mat(focus))
        _, output = extractor.extract("output")
        return np.array(output)


def _without_focus(text: str) -> str:
    """Remove the focus layer, which ncnn does not have, from the description of the network."""
    lines = text.splitlines()
    position = next(i for i, line in enumerate(lines) if line.startswith("YoloV5Focus"))
    output = lines.pop(position).split()[5]
    layers, blobs = map(int, lines[1].split())
    lines[1] = f"{layers - 1} {blobs - 1}"
    return "\n".join(" ".join("images" if word == output else word for word in line.split()) for line in lines) + "\n"


def _grid(stride: int) -> np.ndarray:
    """Return the x, y and stride of the cells of a level, row by row."""
    ys, xs = np.indices((SIZE // stride, SIZE // stride))
    return np.stack((xs.ravel(), ys.ravel(), np.full(xs.size, stride)), axis=1).astype(np.float32)


def _clipped(box: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Return the corners of x, y, width, height inside of the image."""
    x, y, width, height = map(float, box)
    return max(x, 0.0), max(y, 0.0), min(x + width, float(shape[1])), min(y + height, float(shape[0]))


def make_teacher(device: str, mosaic: str, yolox: str) -> Teacher:
    """Create the teacher, which runs on the CPU whatever the device is."""
    return MosaicAndYolox(Path(mosaic), Path(yolox))
