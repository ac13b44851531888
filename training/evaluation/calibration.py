# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Calibration: the choice of a trained model's thresholds on held-out images."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference import Calibration, InferenceSettings, Predictor
from ciae_ros.replay.metrics.matching import score_frame
from ciae_ros.replay.metrics.quality import quality, summary_quality
from training.evaluation.recorded_outputs import RecordedOutputs, record_outputs
from training.evaluation.runner import check_annotations

VALUES: dict[str, tuple[float, ...]] = {
    "score_threshold": (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7),
    "nms_threshold": (0.4, 0.5, 0.6, 0.7),
    "duplicate_similarity": (0.8, 0.85, 0.9, 0.95, 1.0),
    "duplicate_iou": (0.2, 0.3, 0.4, 0.5),
    "min_stuff_area": (0, 64, 256, 1024, 4096),
}
"""The values that are tried of each setting, besides the one that the model has."""


@dataclass(frozen=True)
class PanopticScore:
    """Panoptic quality from 0 to 1, averaged over the classes that occur; NaN if there are none."""

    all: float
    things: float
    stuff: float


@dataclass(frozen=True)
class CalibrationResult:
    """The chosen thresholds and their scores on the images on which they were chosen."""

    before: InferenceSettings
    after: InferenceSettings
    score_before: PanopticScore
    score_after: PanopticScore
    num_trials: int
    """Number of settings that were scored."""
    calibration: Calibration
    """The images, to be stored with the thresholds."""


def calibrate(predictor: Predictor, annotations: PanopticAnnotations, image_folder: Path) -> CalibrationResult:
    """Choose the thresholds with the highest PQ, beginning with those of the predictor.

    One setting after the other is set to its best value of `VALUES` until none improves the PQ. The network runs once
    on each image; its outputs are in a temporary folder (`TMPDIR`) meanwhile.

    Args:
        predictor: the predictor, whose own settings stay as they are.
        annotations: annotated images that the model has not been trained on, with the categories of the network.
        image_folder: folder of the image files.

    Raises:
        ValueError: the categories differ, no image is annotated, or an image or its PNG is missing or corrupt.
        OSError: the outputs cannot be stored.
    """
    check_annotations(predictor, annotations)
    with tempfile.TemporaryDirectory(prefix="ciae_calibrate_") as folder:
        outputs = record_outputs(predictor, annotations, image_folder, Path(folder))
        # `disable=None` hides the bar unless the output is a terminal.
        with tqdm(unit=" settings", disable=None) as bar:
            search = _Search(outputs, bar)
            best = search.best(predictor.settings)
    return CalibrationResult(
        before=predictor.settings,
        after=best,
        score_before=search.scores[predictor.settings],
        score_after=search.scores[best],
        num_trials=len(search.scores),
        calibration=Calibration(annotations.path.name, frozenset(image_digests(annotations, image_folder))),
    )


class _Search:
    def __init__(self, outputs: RecordedOutputs, bar: tqdm) -> None:
        self.scores: dict[InferenceSettings, PanopticScore] = {}
        self._outputs = outputs
        self._bar = bar

    def best(self, settings: InferenceSettings) -> InferenceSettings:
        """Improve one setting after the other until none can be improved; of equal values, the present one stays."""
        while True:
            before = settings
            for name, values in VALUES.items():
                trials = [settings, *(settings.override(**{name: value}) for value in values)]
                settings = max(trials, key=lambda one: self._score(one).all)
            if settings == before:
                return settings

    def _score(self, settings: InferenceSettings) -> PanopticScore:
        if settings not in self.scores:
            self.scores[settings] = _score(self._outputs, settings)
            self._bar.update()
        return self.scores[settings]


def _score(outputs: RecordedOutputs, settings: InferenceSettings) -> PanopticScore:
    categories = outputs.predictor.categories
    rows = [
        row for result, truth in outputs.segment(settings) for row in score_frame(result, truth, categories).segments
    ]
    per_class = quality(pd.DataFrame(rows), categories)
    return PanopticScore(*(summary_quality(per_class, which).pq for which in ("all", "things", "stuff")))


def image_digests(annotations: PanopticAnnotations, image_folder: Path) -> list[str]:
    """Return a digest of the file of each annotated image, by which a copy elsewhere is recognised.

    Raises:
        OSError: a file cannot be read.
    """
    paths = [image_folder / annotations.images[image_id]["file_name"] for image_id in annotations.annotations]
    return [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths]


def count_calibration_images(
    calibration: Calibration | None, annotations: PanopticAnnotations, image_folder: Path
) -> int:
    """Return how many of the annotated images the thresholds were chosen on.

    Raises:
        OSError: an image cannot be read.
    """
    if calibration is None:
        return 0
    return sum(digest in calibration.images for digest in image_digests(annotations, image_folder))
