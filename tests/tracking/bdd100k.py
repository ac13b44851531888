# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The masks of the BDD100K MOTS sample, 100 frames at 5 per second, and a tracker's output, as panoptic results."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pycocotools import mask

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult
from ciae_ros.core.segment_maps import panoptic_result

PERIOD = 0.2
HEIGHT, WIDTH = 720, 1280
NAMES = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
CATEGORIES = {name: Category(number, name, True, (40, 40, 200)) for number, name in enumerate(NAMES, start=1)}
BACKGROUND = Category(len(NAMES) + 1, "background", False, (90, 90, 90))


@dataclass(frozen=True)
class Sample:
    """The two files of the sample."""

    truth: list[PanopticResult]
    """Results with the true track ids."""
    predictions: list[PanopticResult]
    """Results of a tracker, with its ids."""


def read_sample(data: Path) -> Sample:
    """Read the sample; all pixels without an object are background."""
    folder = data / "sequences" / "bdd100k_mots"
    with warnings.catch_warnings():
        # pycocotools is not yet adapted to NumPy 2.
        warnings.simplefilter("ignore", DeprecationWarning)
        return Sample(*(_results(folder / f"seg_track_{name}.json") for name in ("sample", "preds")))


def without_ids(result: PanopticResult) -> PanopticResult:
    """Return a result without track ids."""
    return PanopticResult(result.label_map, tuple(replace(one, track_id=0) for one in result.segments))


def _results(path: Path) -> list[PanopticResult]:
    return [_result(frame["labels"] or []) for frame in json.loads(path.read_text())]


def _result(labels: list[dict]) -> PanopticResult:
    ids = np.full((HEIGHT, WIDTH), len(labels) + 1, np.uint16)
    segments = {}
    for number, label in enumerate(labels, start=1):
        ids[mask.decode({"size": label["rle"]["size"], "counts": label["rle"]["counts"].encode()}) > 0] = number
        segments[number] = CATEGORIES[label["category"]], 0.9
    segments[len(labels) + 1] = BACKGROUND, 1.0
    result = panoptic_result(ids, segments)
    assert len(result.segments) == len(segments), "no mask is hidden by others"
    things = [
        replace(one, track_id=int(label["id"]) + 1) for one, label in zip(result.segments[:-1], labels, strict=True)
    ]
    return PanopticResult(result.label_map, (*things, result.segments[-1]))
