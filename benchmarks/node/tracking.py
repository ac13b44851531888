# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`tracking`: identities of the things of a frame of 720p, on one core."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table, spread_cell
from benchmarks.harness.timing import interleaved, milliseconds
from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.tracking.tracker import Tracker

HEIGHT, WIDTH = 720, 1280
FRAMES = 30
PERIOD = 1 / 30
DIMENSION = 32
"""Of the queries."""
PAN = 2
"""Motion of the camera in pixels per frame."""
ROAD, CAR = Category(1, "road", False, (128, 64, 128)), Category(2, "car", True, (0, 0, 142))
VARIANTS = {"10 things": (10, True), "50 things": (50, True), "50 things, without images": (50, False)}
NOTES = [
    f"{WIDTH} x {HEIGHT}, moving things of about 120 x 100 pixels with queries of {DIMENSION} dimensions; a round is a "
    f"sequence of {FRAMES} frames, of which the times are medians. Times of one core, beside the network.",
    "Without images the motion of the camera is not found.",
]

Frames = list[tuple[PanopticResult, np.ndarray]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark: none."""


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark; a round is a sequence of each variant."""
    cv2.setNumThreads(1)
    sequences = {count: synthetic_frames(count) for count, _ in VARIANTS.values()}
    variants = {name: _sequence(sequences[count], with_images) for name, (count, with_images) in VARIANTS.items()}
    found = interleaved(variants, benchmark_run.rounds)
    rows = [{"name": name, "frame": milliseconds(seconds)} for name, seconds in found.items()]
    return Results("tracking", benchmark_run.conditions, {"rounds": benchmark_run.rounds.counted}, rows, NOTES)


def table(results: Results) -> str:
    """Format the results as Markdown."""
    return markdown_table(["", "ms per frame"], [[row["name"], spread_cell(row["frame"], 2)] for row in results.rows])


def synthetic_frames(count: int) -> Frames:
    """Return results of things that move on their own, with images from a camera that turns."""
    random = np.random.default_rng(0)
    start = random.uniform((60, 50), (WIDTH - 60, HEIGHT - 50), (count, 2))
    speed = random.normal(0, 60, (count, 2))
    queries = random.normal(size=(count, DIMENSION)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    noise = random.random((HEIGHT // 4, (WIDTH + PAN * FRAMES) // 4, 3)).astype(np.float32)
    street = cv2.resize((255 * noise).astype(np.uint8), (WIDTH + PAN * FRAMES, HEIGHT), interpolation=cv2.INTER_CUBIC)
    frames = []
    for number in range(FRAMES):
        ids = np.full((HEIGHT, WIDTH), count + 1, np.uint16)
        for thing, (x, y) in enumerate(start + number * PERIOD * speed, start=1):
            cv2.ellipse(ids, (round(x), round(y)), (60, 50), 0, 0, 360, (thing,), cv2.FILLED)
        segments = dict.fromkeys(range(1, count + 1), (CAR, 0.9)) | {count + 1: (ROAD, 1.0)}
        result = panoptic_result(ids, segments)
        visible = np.unique(ids)
        with_queries = [
            replace(one, query=queries[thing - 1] if thing <= count else None)
            for one, thing in zip(result.segments, visible, strict=True)
        ]
        left = PAN * number
        frames.append(
            (
                PanopticResult(result.label_map, tuple(with_queries)),
                np.ascontiguousarray(street[:, left : left + WIDTH]),
            )
        )
    return frames


def _sequence(frames: Frames, with_images: bool) -> Callable[[], Any]:
    """Return a function that tracks a sequence and returns the median of the seconds of a frame, without the first."""

    def track() -> float:
        tracker, seconds = Tracker(), []
        for number, (result, image) in enumerate(frames):
            start = time.perf_counter()
            tracker.update(result, PERIOD * number, image if with_images else None)
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds[1:]))

    return track
