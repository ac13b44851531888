# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`roofline`: the time of each stage relative to the device's measured rates, and the next bottleneck."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.harness.images import read_images
from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table, number_cell, spread_cell
from benchmarks.harness.timing import interleaved, milliseconds
from benchmarks.roofline.ciae_stages import NETWORK_STAGES, STAGES, CiaeStages
from benchmarks.roofline.device_rates import DeviceRates, measure_rates
from benchmarks.roofline.operator_counts import Operator, count_operators
from ciae_ros.core.arguments import positive_int
from ciae_ros.inference.precision import DTYPES
from ciae_ros.inference.stage_times import HostClock
from ciae_ros.model import RawOutputs

CASES = {
    "r50 800x1333": ("r50_800", (800, 1333)),
    "r50 512x672": ("r50_512", (512, 672)),
    "light 512x672": ("light_512", (512, 672)),
}
"""Presets, and the sizes of camera images that the network uses without resizing."""
NOTES = [
    "Rates: the best of all rounds of a large matrix product or 1 x 1 convolution, and of a large copy (read plus "
    "written), in the network's precision.",
    "Network and proposals: each operator reads its inputs and writes its outputs once; the minimum is the sum over "
    "operators of the longer of FLOP / rate and bytes / rate. FLOP: convolutions and matrix products. Caches, and "
    "algorithms with fewer products (Winograd), may bring a stage below it.",
    "Pre-processing and fusion: the minimum of any implementation (FLOP of the product with the queries on the "
    "stride-4 map; reading the image or the map and writing each intermediate and the result once).",
    "Fusion here includes the download. The next bottleneck is the stage with the most time above the minimum.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    add("--instances", type=positive_int, default=20, help="instances proposed in an image (default: 20)")
    add("--image-size", type=positive_int, nargs=2, metavar=("H", "W"), help="another size, for quick trials")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark."""
    dtype = DTYPES[options.precision]
    rates = measure_rates(benchmark_run.device, dtype, benchmark_run.rounds, is_small=options.image_size is not None)
    cases = {}
    for name in options.cases:
        preset, size = CASES[name]
        size = tuple(options.image_size or size)
        torch.manual_seed(0)
        stages = CiaeStages(preset, options.device, options.precision, input_size=min(size))
        image = read_images(options.source, 1, size)[0]
        stages.target_instance_count(image, options.instances)
        cases[name] = stages
    times = interleaved(
        {name: _timer(stages, benchmark_run.device) for name, stages in cases.items()}, benchmark_run.rounds
    )
    rows = [row for name, stages in cases.items() for row in _rows(name, stages, times[name], rates)]
    parameters = {
        "instances": options.instances,
        "rounds": benchmark_run.rounds.counted,
        "flop_per_second": rates.flops,
        "bytes_per_second": rates.bytes,
        "bottlenecks": {name: _bottleneck(rows, name) for name in cases},
    }
    return Results("roofline", benchmark_run.conditions, parameters, rows, NOTES)


def _timer(stages: CiaeStages, device: torch.device) -> Callable[[], dict[str, float]]:
    @torch.inference_mode()
    def time_stages() -> dict[str, float]:
        stages.start(stages.state["image"])
        clock = HostClock(device)
        seconds = {}
        for name, stage in stages.stages.items():
            stage()
            seconds[name] = clock.lap()
        return seconds

    return time_stages


def _rows(case: str, stages: CiaeStages, times: list[dict[str, float]], rates: DeviceRates) -> list[dict[str, Any]]:
    work = _work(stages, rates)
    rows = []
    for stage in STAGES:
        flops, num_bytes, minimum, limit = work[stage]
        spread = milliseconds([seconds[stage] for seconds in times])
        rows.append(
            {
                "case": case,
                "stage": stage,
                "gflop": flops / 1e9,
                "megabytes": num_bytes / 1e6,
                "time": spread,
                "minimum": 1e3 * minimum,
                "ratio": spread["median"] / (1e3 * minimum),
                "limited_by": limit,
            }
        )
    return rows


Work = tuple[int, int, float, str]
"""FLOP, bytes, minimum seconds and limiting rate of a stage."""


def _work(stages: CiaeStages, rates: DeviceRates) -> dict[str, Work]:
    stages.start(stages.state["image"])
    work = {}
    for name, stage in stages.stages.items():
        operators = count_operators(stage)
        if name == "preprocess":
            operators = _minimal_preprocessing(stages)
        elif name == "fusion":
            operators = _minimal_fusion(stages)
        compute = sum(operator.flops for operator in operators) / rates.flops
        memory = sum(operator.bytes for operator in operators) / rates.bytes
        minimum = sum(rates.seconds(operator.flops, operator.bytes) for operator in operators)
        limit = "compute" if compute > memory else "memory"
        flops, num_bytes = (sum(getattr(operator, key) for operator in operators) for key in ("flops", "bytes"))
        work[name] = flops, num_bytes, minimum, limit
    return work


def _minimal_preprocessing(stages: CiaeStages) -> list[Operator]:
    """Return the bytes to read the image, write and read the resized one, and write the input."""
    image, geometry, inputs = (stages.state[key] for key in ("image", "geometry", "input"))
    resized = 3 * geometry.resized[0] * geometry.resized[1]
    enlarging = 0 if geometry.resized == geometry.original else 2 * resized
    return [Operator("preprocess", 0, image.nbytes + enlarging + inputs.numel() * inputs.element_size())]


def _minimal_fusion(stages: CiaeStages) -> list[Operator]:
    """Return the bytes of similarities on the map, winners of all pixels, statistics and labels; float32 and int16."""
    outputs: RawOutputs = stages.state["outputs"]
    dimensions, height, width = outputs.embedding.shape[1:]
    samples, pixels = height * width, stages.state["image"].shape[0] * stages.state["image"].shape[1]
    queries = stages.config.num_stuff_classes + len(stages.state["proposals"].scores)
    similarity = 4 * samples * queries
    return [
        Operator("similarity", 2 * samples * dimensions * queries, 4 * samples * dimensions + similarity),
        Operator("winners", 0, similarity + 2 * pixels),
        Operator("statistics", 0, 2 * pixels),
        Operator("labels", 0, 4 * pixels),
    ]


def _bottleneck(rows: list[dict[str, Any]], case: str) -> dict[str, Any]:
    worst = max((row for row in rows if row["case"] == case), key=lambda row: row["time"]["median"] - row["minimum"])
    return {
        "stage": worst["stage"],
        "milliseconds_above": worst["time"]["median"] - worst["minimum"],
        "limited_by": worst["limited_by"],
    }


def table(results: Results) -> str:
    """Format the results as Markdown."""
    header = ["case", "stage", "GFLOP", "MB", "ms", "minimum ms", "ratio", "limit"]
    rows = [
        [
            row["case"],
            row["stage"],
            number_cell(row["gflop"], 2),
            number_cell(row["megabytes"]),
            spread_cell(row["time"], 2),
            number_cell(row["minimum"], 3),
            number_cell(row["ratio"]),
            row["limited_by"],
        ]
        for row in results.rows
    ]
    parameters = results.parameters
    bottlenecks = [
        f"- {case}: next bottleneck: {found['stage']}, {found['milliseconds_above']:.2f} ms above the minimum "
        f"({found['limited_by']}-bound); the network's four stages take {_network_time(results, case):.1f} ms"
        for case, found in parameters["bottlenecks"].items()
    ]
    rates = (
        f"Measured: {parameters['flop_per_second'] / 1e12:.3f} TFLOP/s in matrix products, "
        f"{parameters['bytes_per_second'] / 1e9:.1f} GB/s in copies."
    )
    return "\n\n".join([rates, markdown_table(header, rows), "\n".join(bottlenecks)])


def _network_time(results: Results, case: str) -> float:
    rows = (row for row in results.rows if row["case"] == case and row["stage"] in NETWORK_STAGES)
    return sum(row["time"]["median"] for row in rows)
