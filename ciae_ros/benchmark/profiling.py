# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`profile`: a trace of some frames (for chrome://tracing or Perfetto) and a table of the operators in them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from ciae_ros.benchmark.images import read_images
from ciae_ros.benchmark.many_instances import with_many_instances
from ciae_ros.benchmark.options import Run, positive
from ciae_ros.benchmark.results import Results, markdown_table, number_cell
from ciae_ros.inference import Predictor, coco_categories, untrained_checkpoint
from ciae_ros.model import PRESETS

OUTPUT = Path("out/profile")
ROWS = 30
"""Of the table that is printed; operators.txt has all."""
NOTES = [
    "Times of an operator itself, without those that it calls, summed over all frames; the profiler's own cost is in "
    "them. What Numba has compiled is no operator: it is in the trace's gaps.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="light_512", help="random weights (default: light_512)")
    add("--frames", type=positive, default=5, help="that are traced (default: 5)")
    add("--image-size", type=positive, nargs=2, default=(512, 672), metavar=("H", "W"), help="default: 512 672")
    add("--input-size", type=positive, help="shorter side in the network (default: the preset's)")
    add("--instances", type=positive, default=20, help="in a frame (default: 20)")
    parser.set_defaults(output=OUTPUT)


def run(options: argparse.Namespace, run_of: Run) -> Results:
    """Trace, and write `trace.json` and `operators.txt`."""
    images = read_images(options.source, options.frames, tuple(options.image_size))
    torch.manual_seed(0)
    checkpoint = untrained_checkpoint(options.preset, PRESETS[options.preset], coco_categories())
    predictor = Predictor(checkpoint, options.device, options.precision, input_size=options.input_size)
    with_many_instances(predictor, images[0], options.instances, "rgb")
    for _ in range(2):
        predictor.predict(images[0], "rgb")
    is_cuda = run_of.device.type == "cuda"
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
    return Results("profile", run_of.conditions, parameters, rows, NOTES)


def _row(event: Any, frames: int) -> dict[str, Any]:
    return {
        "operator": event.key,
        "calls_per_frame": event.count / frames,
        "self_cpu_time_total": event.self_cpu_time_total / 1e3,
        "self_device_time_total": event.self_device_time_total / 1e3,
    }


def table(results: Results) -> str:
    """In Markdown, the operators that take longest."""
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
