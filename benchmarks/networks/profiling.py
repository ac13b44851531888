# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`profile`: a trace of some frames (for chrome://tracing or Perfetto) and a table of the operators in them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.harness.images import read_images
from benchmarks.harness.instance_count import target_instance_count
from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table, number_cell
from ciae_ros.core.arguments import positive_int
from ciae_ros.inference import Predictor, coco_categories, untrained_checkpoint
from ciae_ros.model import PRESETS

OUTPUT = Path("out/profile")
ROWS = 30
"""Number of printed rows; operators.txt contains all."""
NOTES = [
    "Times of an operator without those that it calls, summed over all frames, including the profiler's overhead. Code "
    "compiled by Numba is not an operator and appears as gaps in the trace.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="light_512", help="random weights (default: light_512)")
    add("--frames", type=positive_int, default=5, help="number of traced frames (default: 5)")
    add("--image-size", type=positive_int, nargs=2, default=(512, 672), metavar=("H", "W"), help="default: 512 672")
    add("--input-size", type=positive_int, help="shorter side of the network's input (default: as in the preset)")
    add("--instances", type=positive_int, default=20, help="instances in a frame (default: 20)")
    parser.set_defaults(output=OUTPUT)


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Trace frames, and write `trace.json` and `operators.txt`."""
    images = read_images(options.source, options.frames, tuple(options.image_size))
    torch.manual_seed(0)
    checkpoint = untrained_checkpoint(options.preset, PRESETS[options.preset], coco_categories())
    predictor = Predictor(checkpoint, options.device, options.precision, input_size=options.input_size)
    target_instance_count(predictor, images[0], options.instances, "rgb")
    for _ in range(2):
        predictor.predict(images[0], "rgb")
    is_cuda = benchmark_run.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * is_cuda
    with profile(activities=activities) as profiler:
        for image in images:
            predictor.predict(image, "rgb")
    options.output.mkdir(parents=True, exist_ok=True)
    trace = options.output / "trace.json"
    profiler.export_chrome_trace(str(trace))
    averages = profiler.key_averages()
    order = f"self_{'device' if is_cuda else 'cpu'}_time_total"
    (options.output / "operators.txt").write_text(averages.table(sort_by=order, row_limit=-1) + "\n")
    rows = sorted((_row(event, len(images)) for event in averages), key=lambda row: -row[order])
    parameters = {
        "preset": options.preset,
        "frames": len(images),
        "image_size": list(options.image_size),
        "instances": options.instances,
        "sorted_by": order,
        "trace": trace.name,
        "operators": "operators.txt",
    }
    return Results("profile", benchmark_run.conditions, parameters, rows, NOTES)


def _row(event: Any, frames: int) -> dict[str, Any]:
    return {
        "operator": event.key,
        "calls_per_frame": event.count / frames,
        "self_cpu_time_total": event.self_cpu_time_total / 1e3,
        "self_device_time_total": event.self_device_time_total / 1e3,
    }


def table(results: Results) -> str:
    """Format the most expensive operators as Markdown."""
    order, frames = results.parameters["sorted_by"], results.parameters["frames"]
    total = sum(row[order] for row in results.rows) or 1.0
    rows = [
        [
            f"`{row['operator']}`",
            number_cell(row["calls_per_frame"]),
            number_cell(row["self_cpu_time_total"] / frames, 3),
            number_cell(row["self_device_time_total"] / frames, 3),
            f"{row[order] / total:.1%}",
        ]
        for row in results.rows[:ROWS]
    ]
    return markdown_table(["operator", "calls a frame", "CPU ms a frame", "device ms a frame", "share"], rows)
