# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Calibration: the choice of a trained model's thresholds on held-out images."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from ciae_ros.inference import Calibration, InferenceSettings, Predictor
from ciae_ros.replay.metrics.matching import FN, FP, TP, score_frame
from ciae_ros.replay.metrics.quality import class_scores
from training.evaluation.confidence_fit import MarginCounts, count_margins, fit, flat
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

COUNTS = (TP, FP, FN, "iou_sum")
"""What is counted for each image and class, in the order of the arguments of `class_scores`."""

MIN_GAIN = 1e-9
"""Gains below this are rounding errors."""


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
    """Number of settings that were compared."""
    calibration: Calibration
    """The images, to be stored with the thresholds."""
    margins: MarginCounts | None
    """Margins on the images; None of models without confidence."""


def calibrate(predictor: Predictor, annotations: PanopticAnnotations, image_folder: Path) -> CalibrationResult:
    """Choose the thresholds with the highest PQ, beginning with those of the predictor.

    One setting after the other is set to its best value of `VALUES` until none improves the PQ by more than the
    standard error of the gain: differences that depend on a few of the images do not count. The function of the
    confidence is fitted with the chosen thresholds. The network runs once on
    each image; its outputs are in a temporary folder (`TMPDIR`) meanwhile.

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
        margins = count_margins(outputs.segment(flat(best)))
    after = best
    if margins is not None:
        slope, offset = fit(margins)
        after = best.override(confidence_slope=slope, confidence_offset=offset)
    return CalibrationResult(
        before=predictor.settings,
        after=after,
        score_before=search.score(predictor.settings),
        score_after=search.score(best),
        num_trials=search.num_trials,
        margins=margins,
        calibration=Calibration(annotations.path.name, frozenset(image_digests(annotations, image_folder))),
    )


class _Search:
    def __init__(self, outputs: RecordedOutputs, bar: tqdm) -> None:
        self._outputs = outputs
        self._bar = bar
        self._counts: dict[InferenceSettings, np.ndarray] = {}

    @property
    def num_trials(self) -> int:
        """Return the number of settings that were compared."""
        return len(self._counts)

    def best(self, settings: InferenceSettings) -> InferenceSettings:
        """Improve one setting after the other until none can be improved."""
        while True:
            before = settings
            for name, values in VALUES.items():
                trials = (settings.override(**{name: value}) for value in values)
                better = [trial for trial in trials if is_significant(self._count(trial), self._count(settings))]
                settings = max(better, key=lambda one: _mean_pq(self._totals(one)), default=settings)
            if settings == before:
                return settings

    def score(self, settings: InferenceSettings) -> PanopticScore:
        """Return the PQ over all images."""
        totals, categories = self._totals(settings), self._outputs.predictor.categories.categories
        is_thing = np.array([category.is_thing for category in categories])
        return PanopticScore(*(float(_mean_pq(part)) for part in (totals, totals[is_thing], totals[~is_thing])))

    def _totals(self, settings: InferenceSettings) -> np.ndarray:
        return self._count(settings).sum(axis=0)

    def _count(self, settings: InferenceSettings) -> np.ndarray:
        """Return the counts (images, classes, 4) of COUNTS."""
        if settings not in self._counts:
            self._counts[settings] = _count_matches(self._outputs, settings)
            self._bar.update()
        return self._counts[settings]


def _count_matches(outputs: RecordedOutputs, settings: InferenceSettings) -> np.ndarray:
    categories = outputs.predictor.categories
    index = {category.id: number for number, category in enumerate(categories.categories)}
    counts = np.zeros((len(outputs.files), len(index), len(COUNTS)))
    for of_image, (result, truth) in zip(counts, outputs.segment(settings), strict=True):
        for row in score_frame(result, truth, categories).segments:
            of_class = of_image[index[row["category_id"]]]
            if row["outcome"] in COUNTS:
                of_class[COUNTS.index(row["outcome"])] += 1
            of_class[-1] += row["iou"]
    return counts


def is_significant(counts: np.ndarray, present: np.ndarray) -> bool:
    """Return whether the gain in PQ is larger than its standard error, which is the jackknife's over the images.

    Args:
        counts: (images, classes, 4) of COUNTS with the new settings.
        present: the same with the present ones.
    """
    gain = _mean_pq(counts.sum(axis=0)) - _mean_pq(present.sum(axis=0))
    without_one = _mean_pq(counts.sum(axis=0) - counts) - _mean_pq(present.sum(axis=0) - present)
    error = np.sqrt((len(counts) - 1) * np.nanvar(without_one)) if len(counts) > 1 else 0.0
    return bool(gain > error + MIN_GAIN)


def _mean_pq(counts: np.ndarray) -> np.ndarray:
    """Average the PQ over the classes that occur; NaN if there are none.

    Args:
        counts: (..., classes, 4).
    """
    pq = class_scores(*np.moveaxis(counts, -1, 0))["pq"]
    occurs = ~np.isnan(pq)
    with np.errstate(invalid="ignore"):
        return np.where(occurs, pq, 0).sum(axis=-1) / occurs.sum(axis=-1)


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
