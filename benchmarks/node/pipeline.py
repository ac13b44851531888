# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`pipeline`: throughput of overlapping stages, and the latency of a single frame."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import numpy as np
import torch

from benchmarks.harness.images import read_images
from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.predictor import add_backend_argument, build_predictor
from benchmarks.harness.results import Results, markdown_table, number_cell, spread_cell
from benchmarks.harness.timing import interleaved, milliseconds
from ciae_ros.core.arguments import positive_int
from ciae_ros.inference import Predictor
from ciae_ros.inference.pipeline.batch import Images
from ciae_ros.inference.pipeline.stream_pipeline import DEPTH, StreamPipeline
from ciae_ros.inference.stage_times import HostClock

EXECUTION_MODES = ("bare network", "sequential", "pipeline, one frame", "pipeline, full")
NOTES = [
    "Milliseconds per frame, interleaved. Bare network: only network, proposals and fusion, with the input on the "
    "device; on a CPU it is the lower bound. On a CUDA device it runs eagerly, and the pipeline replays a captured "
    "graph if possible.",
    "Sequential: all stages of a frame, then the next frame. Pipeline, full: with the maximum number of frames in "
    "flight, from the first result to the last; one frame: each frame after the result of the previous one.",
    "On a CPU all stages share the cores, so only waiting overlaps.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add_backend_argument(parser)
    add("--models", nargs="+", default=["untrained/light_512", "untrained/r50_512"], metavar="MODEL")
    add("--image-size", type=positive_int, nargs=2, default=(1080, 1920), metavar=("H", "W"), help="default: 1080 1920")
    add("--input-size", type=positive_int, help="shorter side of the network's input (default: as in the model)")
    add("--frames", type=positive_int, default=6, help="frames in a round of each execution mode (default: 6)")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark."""
    rows = []
    for model in options.models:
        predictor = build_predictor(model, options, tuple(options.image_size), options.input_size)
        image = read_images(options.source, 1, tuple(options.image_size))[0]
        pipeline = StreamPipeline(predictor)
        runs = pipeline.warm_up(*image.shape[:2]).execution_mode
        times = interleaved(_execution_modes(predictor, pipeline, image, options.frames), benchmark_run.rounds)
        pipeline.close()
        runs = f"{runs}, {predictor.precision}"
        rows.append({"model": model, "runs": runs} | {mode: milliseconds(times[mode]) for mode in EXECUTION_MODES})
    parameters = {
        "image_size": list(options.image_size),
        "frames": options.frames,
        "rounds": benchmark_run.rounds.counted,
    }
    return Results("pipeline", benchmark_run.conditions, parameters, rows, NOTES)


def table(results: Results) -> str:
    """Format the results as Markdown, with a line for each model."""
    lines = [
        [
            row["model"],
            row["runs"],
            *(spread_cell(row[mode]) for mode in EXECUTION_MODES),
            number_cell(row["bare network"]["median"] / row["pipeline, full"]["median"], 2),
        ]
        for row in results.rows
    ]
    return markdown_table(["model", "runs", *(f"{mode}, ms" for mode in EXECUTION_MODES), "throughput : bare"], lines)


def _execution_modes(
    predictor: Predictor, pipeline: StreamPipeline, image: np.ndarray, frames: int
) -> dict[str, Callable[[], float]]:
    """Return functions by execution mode that measure the seconds of a frame."""
    batch: Images = [(image, "rgb")]
    geometries = predictor.check_batch(batch)
    prepared = predictor.preprocess([(torch.from_numpy(image).to(predictor.device), "rgb")], geometries)
    settings = predictor.settings_on_device(predictor.settings)

    def bare() -> None:
        predictor.compute(prepared, geometries, settings, HostClock(predictor.device))

    def one_after_the_other() -> None:
        predictor.predict_batch(batch)

    def one_frame() -> None:
        pipeline.submit(batch).result()

    repeated = (bare, one_after_the_other, one_frame)
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
