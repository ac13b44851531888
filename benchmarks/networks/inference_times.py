# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`inference`: time per image of a model, measured as in the paper's Table I.

One image at a time, from its decoded pixels to a panoptic result on the host. "Inference" is the sum of all stages of
`StageTimes`; "fusion" is defined as in the paper: from proposals and embedding map to the final result, that is,
fusion and download.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table, number_cell, spread_cell
from benchmarks.harness.timing import milliseconds
from benchmarks.networks.published_times import published_time
from ciae_ros.core.arguments import positive_int
from ciae_ros.core.images.files import SUFFIXES
from ciae_ros.inference import CheckpointError, Predictor, load_model
from ciae_ros.inference.backends.ciae_backend import CiaeBackend
from training.data.sample import read_rgb

DEFAULT_MODELS = ("untrained/r50_512", "untrained/r50_640", "untrained/r50_800")
NOTES = [
    "One image at a time, at its own size; each image is timed once, after --warm-up images. Fusion includes the "
    "download of the result.",
    "Untrained weights detect hardly any instance: lower --score-threshold, because fusion takes longer with more "
    "instances.",
    "Paper: Table I, on a 2080 Ti.",
]


@dataclass(frozen=True)
class InferenceTimes:
    """Times of N images in seconds."""

    inference: list[float]
    """End-to-end times (N,)."""
    fusion: list[float]
    """Times of fusion (N,), which are part of `inference`."""
    instances: float
    """Mean number of instances in an image."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--models", nargs="+", default=DEFAULT_MODELS, metavar="MODEL", help=f"default: {' '.join(DEFAULT_MODELS)}")
    add(
        "--sizes",
        type=positive_int,
        nargs="+",
        metavar="N",
        help="shorter sides of the network's input (default: as in the model)",
    )
    add("--images", type=Path, default=Path("data/coco/val2017"), help="folder of images (default: %(default)s)")
    add("--limit", type=positive_int, metavar="N", help="only the first N images")
    add("--score-threshold", type=float, help="minimum score of instances (default: as in the model)")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Time all models at all sizes.

    Raises:
        ValueError: a model or an image cannot be used.
    """
    paths = image_paths(options.images, options.limit)
    try:
        rows = [
            _row(predictor, time_images(predictor, paths, benchmark_run.rounds.warm_up))
            for predictor in _predictors(options)
        ]
    except CheckpointError as error:
        raise ValueError(str(error)) from None
    parameters = {"images": str(options.images), "count": len(paths), "score_threshold": options.score_threshold}
    return Results("inference", benchmark_run.conditions, parameters, rows, NOTES)


def image_paths(folder: Path, limit: int | None) -> list[Path]:
    """Return the first `limit` image files of a folder, or all of them, sorted by name.

    Raises:
        ValueError: the folder has no image.
    """
    files = folder.iterdir() if folder.is_dir() else ()
    paths = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"{folder} contains no image: give a folder with --images")
    return paths[:limit]


def time_images(predictor: Predictor, paths: list[Path], warm_up: int) -> InferenceTimes:
    """Segment `warm_up` images without timing, then time all images.

    Raises:
        ValueError: an image is corrupt.
    """
    for path in islice(cycle(paths), warm_up):
        predictor.predict(read_rgb(path))
    inference, fusion, instances = [], [], []
    for path in tqdm(paths, unit=" images", desc=predictor.name, disable=None):
        result, times = predictor.predict_timed(read_rgb(path))
        inference.append(sum(astuple(times)))
        fusion.append(times.fusion + times.download)
        instances.append(sum(segment.category.is_thing for segment in result.segments))
    return InferenceTimes(inference, fusion, float(np.mean(instances)))


def _predictors(options: argparse.Namespace) -> Iterator[Predictor]:
    for model in options.models:
        for input_size in options.sizes or (None,):
            torch.manual_seed(0)
            checkpoint = load_model(model)
            settings = checkpoint.settings
            if options.score_threshold is not None:
                settings = replace(settings, score_threshold=options.score_threshold)
            yield Predictor(checkpoint, options.device, options.precision, settings, input_size)


def _row(predictor: Predictor, times: InferenceTimes) -> dict[str, Any]:
    assert isinstance(predictor.backend, CiaeBackend)
    published = published_time(predictor.backend.config)
    return {
        "model": predictor.name,
        "input_size": predictor.backend.input_format.input_size,
        "inference": milliseconds(times.inference),
        "inference_mean": 1e3 * float(np.mean(times.inference)),
        "fusion": milliseconds(times.fusion),
        "fusion_mean": 1e3 * float(np.mean(times.fusion)),
        "instances": times.instances,
        "paper": published and {"inference": published.inference_ms, "fusion": published.fusion_ms},
    }


def table(results: Results) -> str:
    """Format the results as Markdown, with a line for each model and size."""
    header = ["model", "input size", "inference mean, ms", "inference, ms", "fusion mean, ms", "fusion, ms"]
    header += ["instances", "paper: inference, ms", "paper: fusion, ms"]
    return markdown_table(header, [_cells(row) for row in results.rows])


def _cells(row: dict[str, Any]) -> list[str]:
    paper = row["paper"] or {}
    return [
        row["model"],
        str(row["input_size"]),
        number_cell(row["inference_mean"]),
        spread_cell(row["inference"]),
        number_cell(row["fusion_mean"]),
        spread_cell(row["fusion"]),
        number_cell(row["instances"]),
        *(number_cell(paper.get(key), 0) for key in ("inference", "fusion")),
    ]
