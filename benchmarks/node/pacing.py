# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`pacing`: utilisation of a network whose batches vary in duration. Needs ROS 2."""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import Image

from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table, number_cell
from benchmarks.node.isolated_ros import isolated_ros
from ciae_ros.core.arguments import positive_int
from ciae_ros.inference import Predictor, load_model
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.node.camera_stream import CameraStream, PendingFrame
from ciae_ros.node.cameras import parse_cameras
from ciae_ros.node.parameters.definitions import NodeParameters
from ciae_ros.node.segmenter import Segmenter

PATTERNS = {
    "alternating 60 and 240 ms": [0.06, 0.24],
    "60 ms, after 15 of 1 s": [1.0] * 15 + [0.06] * 100,
    "always 100 ms": [0.1],
}
"""Repeated patterns of the seconds that batches take."""
SIZE = 64, 48
NOTES = [
    "The node's segmenter with a light network on 64 x 48 pixels, whose batches are prolonged to the given time by "
    "sleeping; a frame is offered every 2 ms. Busy is the share of the time in which a batch was in the network.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    parser.add_argument("--batches", type=positive_int, default=60, help="batches of each pattern (default: 60)")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark."""
    with isolated_ros():
        rows = [{"pattern": name} | _measure(options, seconds) for name, seconds in PATTERNS.items()]
    return Results("pacing", benchmark_run.conditions, {"batches": options.batches}, rows, NOTES)


def table(results: Results) -> str:
    """Format the results as Markdown, with a line for each pattern."""
    lines = [[row["pattern"], number_cell(100 * row["busy"], 1), number_cell(row["rate"], 2)] for row in results.rows]
    return markdown_table(["a batch takes", "busy, %", "frames/s"], lines)


def _measure(options: argparse.Namespace, pattern: list[float]) -> dict[str, Any]:
    predictor = Predictor(load_model("untrained/light_512"), options.device, options.precision, input_size=64)
    pipeline = StreamPipeline(predictor)
    pipeline.warm_up(SIZE[1], SIZE[0])
    stays = _have_batches_take(predictor, pattern)
    node = Node("benchmark_pacing")
    with _segmenter(node, predictor, pipeline) as (segmenter, camera):
        message = Image(height=SIZE[1], width=SIZE[0], encoding="bgr8", step=3 * SIZE[0])
        message.data = array("B", bytes(3 * SIZE[0] * SIZE[1]))
        while len(stays) <= options.batches:
            segmenter.scheduler.put(camera, PendingFrame(message, time.perf_counter()))
            time.sleep(0.002)
    pipeline.close()
    node.destroy_node()
    measured = stays[: options.batches]
    elapsed = measured[-1][1] - measured[0][0]
    return {"busy": sum(end - start for start, end in measured) / elapsed, "rate": len(measured) / elapsed}


def _have_batches_take(predictor: Predictor, pattern: list[float]) -> list[tuple[float, float]]:
    """Return a list to which the times are added at which each batch enters and leaves the network."""
    stays: list[tuple[float, float]] = []
    compute, durations = predictor.compute, itertools.cycle(pattern)

    def delayed(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = compute(*arguments)
        time.sleep(max(0.0, start + next(durations) - time.perf_counter()))
        stays.append((start, time.perf_counter()))
        return result

    predictor.compute = delayed  # type: ignore[method-assign, assignment]
    return stays


@contextmanager
def _segmenter(node: Node, predictor: Predictor, pipeline: StreamPipeline) -> Iterator[tuple[Segmenter, str]]:
    parameters = NodeParameters()
    (camera,) = parse_cameras(parameters)
    streams = {camera.name: CameraStream(node, camera, parameters, itertools.count(1))}
    selection = parameters.category_selection(predictor.categories)
    failed = threading.Event()
    segmenter = Segmenter(
        predictor,
        pipeline,
        streams,
        parameters=lambda: parameters,
        selection=lambda: selection,
        clock=node.get_clock(),
        logger=node.get_logger(),
        on_fatal=lambda error: failed.set(),
    )
    try:
        yield segmenter, camera.name
    finally:
        segmenter.stop(60.0)
        if failed.is_set():
            raise RuntimeError("the segmenter has failed")
