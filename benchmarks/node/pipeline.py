# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`pipeline`: throughput of overlapping stages, and the latency of a single frame."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import wait
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.harness.images import read_images
from benchmarks.harness.instance_count import target_instance_count
from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.predictor import add_backend_argument, build_predictor
from benchmarks.harness.results import NOT_MEASURED, Results, markdown_table, number_cell, spread_cell
from benchmarks.harness.timing import Rounds, interleaved, milliseconds
from ciae_ros.core.arguments import positive_int
from ciae_ros.inference import Predictor
from ciae_ros.inference.pipeline.batch import Images
from ciae_ros.inference.pipeline.stream_pipeline import DEPTH, StreamPipeline
from ciae_ros.inference.precision import DTYPES
from ciae_ros.inference.stage_times import HostClock, StageTimes

EXECUTION_MODES = ("bare network", "sequential", "pipeline, one batch", "pipeline, full")
STAGES = ("network", "proposals", "fusion")
"""Stages of the pipeline's batches that are listed."""
NOTES = [
    "Milliseconds per batch, interleaved. Bare network: only network, proposals and fusion, with the input on the "
    "device; on a CPU it is the lower bound. On a CUDA device it runs eagerly, and the pipeline replays a captured "
    "graph if possible.",
    "Sequential: all stages of a batch, then the next batch. Pipeline, full: with the maximum number of batches in "
    "flight, from the first result to the last; one batch: each one after the result of the previous one, whose stages "
    "are network, proposals and fusion.",
    "On a CPU all stages share the cores, so only waiting overlaps.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add_backend_argument(parser)
    add("--models", nargs="+", default=["untrained/light_512", "untrained/r50_512"], metavar="MODEL")
    add("--image-size", type=positive_int, nargs=2, default=(1080, 1920), metavar=("H", "W"), help="default: 1080 1920")
    add(
        "--input-sizes",
        type=positive_int,
        nargs="+",
        metavar="N",
        help="shorter sides of the network's input (default: as in the model)",
    )
    add("--precisions", choices=DTYPES, nargs="+", metavar="P", help=f"of {', '.join(DTYPES)} (default: --precision)")
    add("--batch-sizes", type=positive_int, nargs="+", default=[1], metavar="N", help="images in a batch (default: 1)")
    add(
        "--instances", type=positive_int, metavar="N", help="instances in an image (default: those above the threshold)"
    )
    add("--frames", type=positive_int, default=6, help="batches in a round of each execution mode (default: 6)")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark; what cannot run, such as a precision that a network does not support, becomes a note."""
    image = read_images(options.source, 1, tuple(options.image_size))[0]
    rows = [
        {"model": model, "input_size": input_size, "precision": precision} | measured
        for model in options.models
        for input_size in options.input_sizes or [None]
        for precision in options.precisions or [options.precision]
        for measured in _measure(model, input_size, precision, image, options, benchmark_run)
    ]
    parameters = {
        "image_size": list(options.image_size),
        "frames": options.frames,
        "instances": options.instances,
        "rounds": benchmark_run.rounds.counted,
    }
    return Results("pipeline", benchmark_run.conditions, parameters, rows, NOTES)


def table(results: Results) -> str:
    """Format the results as Markdown, with a line for each model, size, precision and batch size."""
    header = ["model", "input", "batch", "runs", *(f"{mode}, ms" for mode in EXECUTION_MODES), "throughput : bare"]
    return markdown_table([*header, "images/s", *STAGES], [_cells(row) for row in results.rows])


def _cells(row: dict[str, Any]) -> list[str]:
    name = [row["model"], str(row["input_size"] or "")]
    if "note" in row:
        return [*name, "", f"{row['precision']}: {row['note']}", *[""] * (len(EXECUTION_MODES) + len(STAGES) + 2)]
    full = row["pipeline, full"]["median"]
    return [
        *name,
        str(row["batch_size"]),
        row["runs"],
        *(spread_cell(row[mode]) for mode in EXECUTION_MODES),
        number_cell(row["bare network"]["median"] / full, 2),
        number_cell(1e3 * row["batch_size"] / full),
        *(number_cell(row["stages"][stage], 2) for stage in STAGES),
    ]


def _measure(
    model: str,
    input_size: int | None,
    precision: str,
    image: np.ndarray,
    options: argparse.Namespace,
    benchmark_run: BenchmarkRun,
) -> list[dict[str, Any]]:
    chosen = argparse.Namespace(**vars(options) | {"precision": precision})
    try:
        predictor = build_predictor(model, chosen, image.shape[:2], input_size)
        if options.instances:
            target_instance_count(predictor, image, options.instances, "rgb")
        return [_row(predictor, [image] * size, options.frames, benchmark_run.rounds) for size in options.batch_sizes]
    except (RuntimeError, ValueError) as error:
        return [{"note": f"{NOT_MEASURED}: {' '.join(str(error).split())[:200]}"}]


def _row(predictor: Predictor, images: list[np.ndarray], frames: int, rounds: Rounds) -> dict[str, Any]:
    pipeline = StreamPipeline(predictor)
    runs = pipeline.warm_up(images[0].shape[0], images[0].shape[1], len(images)).execution_mode
    stage_times: list[StageTimes] = []
    modes = _execution_modes(predictor, pipeline, [(image, "rgb") for image in images], frames, stage_times)
    times = interleaved(modes, rounds)
    pipeline.close()
    return {
        "batch_size": len(images),
        "runs": f"{runs}, {predictor.precision}",
        "stages": {stage: 1e3 * median(getattr(each, stage) for each in stage_times) for stage in STAGES},
        **{mode: milliseconds(times[mode]) for mode in EXECUTION_MODES},
    }


def _execution_modes(
    predictor: Predictor, pipeline: StreamPipeline, batch: Images, frames: int, stage_times: list[StageTimes]
) -> dict[str, Callable[[], float]]:
    """Return functions by execution mode that measure the seconds of a batch; one adds the times of its stages."""
    geometries = predictor.check_batch(batch)
    on_device = [(torch.from_numpy(image).to(predictor.device), order) for image, order in batch]
    prepared = predictor.preprocess(on_device, geometries)
    settings = predictor.settings_on_device(predictor.settings)

    def bare() -> None:
        predictor.compute(prepared, geometries, settings, HostClock(predictor.device))

    def one_after_the_other() -> None:
        predictor.predict_batch(batch)

    def one_batch() -> None:
        stage_times.append(pipeline.submit(batch).result()[1])

    repeated = (bare, one_after_the_other, one_batch)
    return dict(
        zip(
            EXECUTION_MODES,
            [*(_timed(mode, frames) for mode in repeated), lambda: _interval_when_full(pipeline, batch, frames)],
            strict=True,
        )
    )


def _timed(mode: Callable[[], Any], frames: int) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        for _ in range(frames):
            mode()
        return (time.perf_counter() - start) / frames

    return run


def _interval_when_full(pipeline: StreamPipeline, batch: Images, frames: int) -> float:
    """Return the seconds between results, without the latency of the first frame in the empty pipeline."""
    futures = [pipeline.submit(batch) for _ in range(DEPTH)]
    futures[0].result()
    start = time.perf_counter()
    futures += [pipeline.submit(batch) for _ in range(frames + 1 - DEPTH)]
    wait(futures)
    return (time.perf_counter() - start) / (len(futures) - 1)
