# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`backends`: time of a network in each runtime and precision of this machine, and how far the labels are the same."""

from __future__ import annotations

import argparse
from importlib import util
from typing import Any

import numpy as np

from benchmarks.harness.images import read_images
from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table, spread_cell
from benchmarks.harness.timing import interleaved, milliseconds
from ciae_ros.core.arguments import positive_int
from ciae_ros.core.result import PanopticResult
from ciae_ros.inference import DEFAULT_MODEL, Predictor
from ciae_ros.inference.execution.processor import has_bf16
from ciae_ros.inference.loading.named_models import ONNX, OPENVINO, TORCH, load_for_backend
from ciae_ros.inference.precision import DTYPES

NOTES = [
    "Milliseconds per image, interleaved; frame: all stages, one after the other.",
    "Same category, same segment: share of the pixels, compared with the reference, PyTorch on the CPU in fp32; "
    "segments are the same if they have the same category and an IoU above 0.5.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--models", nargs="+", default=[DEFAULT_MODEL], metavar="MODEL")
    add("--image-size", type=positive_int, nargs=2, default=(512, 672), metavar=("H", "W"), help="default: 512 672")
    add("--images", type=positive_int, default=20, help="images whose labels are compared (default: 20)")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark; a round is an image in each runtime and precision."""
    images = read_images(options.source, options.images, tuple(options.image_size))
    rows = [row for model in options.models for row in _measure(model, images, benchmark_run)]
    parameters = {
        "image_size": list(options.image_size),
        "images": len(images),
        "rounds": benchmark_run.rounds.counted,
    }
    return Results("backends", benchmark_run.conditions, parameters, rows, NOTES)


def table(results: Results) -> str:
    """Format the results as Markdown."""
    lines = [
        [
            row["model"],
            row["device"],
            row["runs"],
            spread_cell(row["network"]),
            spread_cell(row["frame"]),
            f"{row['network']['median'] / row['reference']:.2f}",
            f"{row['same_category']:.2%}",
            f"{row['same_segment']:.2%}",
        ]
        for row in results.rows
    ]
    header = ["model", "device", "runs", "network, ms", "frame, ms", ": reference", "same category", "same segment"]
    return markdown_table(header, lines)


def _measure(model: str, images: list[np.ndarray], benchmark_run: BenchmarkRun) -> list[dict[str, Any]]:
    predictors = {}
    for device, runtime, precision in _ways(str(benchmark_run.device)):
        name = f"{device} {runtime} {precision}"
        predictors[name] = Predictor(load_for_backend(model, runtime), device, precision, runtime=runtime)
        predictors[name].prepare(*images[0].shape[:2])
    times = interleaved(
        {
            name: lambda predictor=predictor: _timed(predictor, images[0])  # type: ignore[misc]
            for name, predictor in predictors.items()
        },
        benchmark_run.rounds,
    )
    results = {name: [predictor.predict(image) for image in images] for name, predictor in predictors.items()}
    expected, *_ = results.values()
    rows: list[dict[str, Any]] = []
    for name, predictor in predictors.items():
        network, frame = (milliseconds(values) for values in zip(*times[name], strict=True))
        pairs = list(zip(results[name], expected, strict=True))
        rows.append(
            {
                "model": model,
                "device": predictor.device.type,
                "precision": predictor.precision,
                "runs": f"{predictor.backend.runtime or 'PyTorch'}, {predictor.precision}",
                "network": network,
                "frame": frame,
                "reference": (rows[0]["network"] if rows else network)["median"],
                "same_category": float(np.mean([(a.semantic_map() == b.semantic_map()).mean() for a, b in pairs])),
                "same_segment": float(np.mean([_same_segments(a, b) for a, b in pairs])),
            }
        )
    return rows


def _ways(device: str) -> list[tuple[str, str, str]]:
    """Return devices, runtimes and precisions; the first is the reference, PyTorch on the CPU in fp32."""
    if device != "cpu":
        return [("cpu", TORCH, "fp32"), *((device, TORCH, precision) for precision in DTYPES)]
    found = [(TORCH, "fp32"), (TORCH, "bf16")]
    if util.find_spec("onnxscript") and util.find_spec("onnxruntime"):
        found.append((ONNX, "fp32"))
    if util.find_spec("openvino"):
        found += [(OPENVINO, "fp32"), (OPENVINO, "bf16")]
    return [(device, *way) for way in found if way[1] == "fp32" or has_bf16()]


def _timed(predictor: Predictor, image: np.ndarray) -> tuple[float, float]:
    _, times = predictor.predict_timed(image)
    return times.network, times.preprocess + times.network + times.proposals + times.fusion + times.download


def _same_segments(found: PanopticResult, expected: PanopticResult) -> float:
    """Return the share of pixels whose segments are the same: of one category, with an IoU above 0.5."""
    same = (found.label_map == 0) & (expected.label_map == 0)
    for segment in found.segments:
        mask = found.label_map == segment.id
        for other in expected.segments:
            if other.category == segment.category:
                other_mask = expected.label_map == other.id
                both = mask & other_mask
                if 2 * both.sum() > (mask | other_mask).sum():
                    same |= both
    return float(same.mean())
