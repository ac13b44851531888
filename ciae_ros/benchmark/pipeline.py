# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`pipeline`: what overlapping the stages gives, and what it costs a frame that is alone."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import numpy as np
import torch

from ciae_ros.benchmark.images import read_images
from ciae_ros.benchmark.measuring import in_turns, milliseconds
from ciae_ros.benchmark.options import Run, positive
from ciae_ros.benchmark.results import Results, markdown_table, number_cell, spread_cell
from ciae_ros.inference import Predictor, load_model
from ciae_ros.inference.pipeline.batch import Images
from ciae_ros.inference.pipeline.stream_pipeline import DEPTH, StreamPipeline
from ciae_ros.inference.stage_times import HostClock

WAYS = ("bare network", "one after the other", "pipeline, one frame", "pipeline, full")
NOTES = [
    "Milliseconds a frame, all ways in turns. Bare network: network, proposals and fusion alone, with the input on the "
    "device; on a CPU no arrangement of the other stages can beat it. On a CUDA device it runs eagerly, and the "
    "pipeline replays a captured graph where it can.",
    "One after the other: all stages of a frame, then the next frame. Pipeline, full: as many frames on their way as "
    "it takes, from the first answer to the last; one frame: the next one when the last one has come out.",
    "On a CPU all stages share the cores: what overlaps is waiting, not work.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    add = parser.add_argument
    add("--models", nargs="+", default=["untrained/light_512", "untrained/r50_512"], metavar="MODEL")
    add("--image-size", type=positive, nargs=2, default=(1080, 1920), metavar=("H", "W"), help="default: 1080 1920")
    add("--input-size", type=positive, help="shorter side in the network (default: the model's)")
    add("--frames", type=positive, default=6, help="in a round of each way (default: 6)")


def run(options: argparse.Namespace, run_of: Run) -> Results:
    """Measure."""
    rows = []
    for model in options.models:
        predictor = Predictor(load_model(model), options.device, options.precision, input_size=options.input_size)
        image = read_images(options.source, 1, tuple(options.image_size))[0]
        pipeline = StreamPipeline(predictor)
        runs = pipeline.warm_up(*image.shape[:2]).execution_mode
        times = in_turns(_ways(predictor, pipeline, image, options.frames), run_of.rounds)
        pipeline.close()
        rows.append({"model": model, "runs": runs} | {way: milliseconds(times[way]) for way in WAYS})
    parameters = {"image_size": list(options.image_size), "frames": options.frames, "rounds": run_of.rounds.counted}
    return Results("pipeline", run_of.conditions, parameters, rows, NOTES)


def table(results: Results) -> str:
    """One line for each model."""
    lines = [
        [
            row["model"],
            row["runs"],
            *(spread_cell(row[way]) for way in WAYS),
            number_cell(row["bare network"]["median"] / row["pipeline, full"]["median"], 2),
        ]
        for row in results.rows
    ]
    return markdown_table(["model", "runs", *(f"{way}, ms" for way in WAYS), "throughput : bare"], lines)


def _ways(
    predictor: Predictor, pipeline: StreamPipeline, image: np.ndarray, frames: int
) -> dict[str, Callable[[], float]]:
    """By name; each returns the seconds that a frame took."""
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
            WAYS,
            [*(_timed(way, frames) for way in repeated), lambda: _interval_when_full(pipeline, batch, frames)],
            strict=True,
        )
    )


def _timed(way: Callable[[], Any], frames: int) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        for _ in range(frames):
            way()
        return (time.perf_counter() - start) / frames

    return run


def _interval_when_full(pipeline: StreamPipeline, batch: Images, frames: int) -> float:
    """Seconds from answer to answer, without the first frame's way through the empty pipeline."""
    answers = [pipeline.submit(batch) for _ in range(DEPTH)]
    answers[0].result()
    start = time.perf_counter()
    answers += [pipeline.submit(batch) for _ in range(frames + 1 - DEPTH)]
    wait(answers)
    return (time.perf_counter() - start) / (len(answers) - 1)
