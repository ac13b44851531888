# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`fusion`: time of CIAE's fusion by number of instances and image size, and of other methods."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import util
from typing import Any

import torch

from benchmarks.harness.images import read_images
from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import NOT_MEASURED, Results, markdown_table, number_cell, spread_cell
from benchmarks.harness.timing import milliseconds, time_interleaved
from benchmarks.networks.fusion_inputs import NUM_STUFF, FusionInput, random_input, real_inputs
from benchmarks.networks.synthetic_masks import MaskOutputs, synthetic_outputs
from ciae_ros.core.arguments import image_size, positive_int

INSTANCES = (0, 10, 100, 300)
SIZES = ("512x672", "800x1088", "1080x1920", "2160x3840")
COMPARED_SIZE, COMPARED_INSTANCES = "800x1088", 100
REQUIRED = 10.0
"""Required ratio of the other methods' times to that of CIAE."""
QUERIES, THINGS, CLASSES = 100, 80, 133
"""Number of queries of Mask2Former on COCO panoptic."""

CIAE_FUSION, ASSIGNMENT, REFERENCE_IMPLEMENTATION, MASK2FORMER = (
    "ciae_ros",
    "ciae_ros, assignment only",
    "reference, Eq. 16 taken literally",
    "Mask2Former, transformers",
)
NOTES = [
    "Fusion: from proposals and embedding map to label map and segments on the host, as the paper defines it.",
    "The network's shorter side is 800, or the image's if that is shorter, its longer side at most 1333. Random: "
    "smooth random embeddings of 32 dimensions, 53 stuff classes, boxes of up to half the image. Real: camvid_light "
    "at 512 on a real image, with the highest scores.",
    "Undecided cells: those of the stride-4 map whose four corners have different queries; more are slower on a CPU.",
    "Literal: Eq. 16 alone, at full size (up-sample, normalise, multiply, mask by boxes, argmax), without the "
    "statistics of the segments and without download, which favours it.",
    "Mask2Former: post_process_panoptic_segmentation of 100 queries at a quarter of the size to the same output size, "
    "with the library's thresholds; the outputs are synthetic so that the queries are kept: each has a confident thing "
    "class and a Voronoi cell of the image with soft borders as its mask.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--instances", type=int, nargs="+", default=INSTANCES, metavar="K", help="default: 0 10 100 300")
    add(
        "--sizes",
        type=image_size,
        nargs="+",
        default=[image_size(s) for s in SIZES],
        metavar="HxW",
        help=" ".join(SIZES),
    )
    add(
        "--compared-size",
        type=image_size,
        default=image_size(COMPARED_SIZE),
        metavar="HxW",
        help=f"default: {COMPARED_SIZE}",
    )
    add("--compared-instances", type=positive_int, default=COMPARED_INSTANCES, metavar="K", help="default: 100")
    add("--no-real", action="store_true", help="random embeddings only")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark."""
    cases = {}
    for size in options.sizes:
        of_sources: dict[str, Callable[[int], FusionInput]] = {
            "random": lambda count, size=size: random_input(size, count, benchmark_run.device)  # type: ignore[misc]
        }
        if not options.no_real:
            of_sources["real"] = real_inputs(read_images(options.source, 1, size)[0], options.device)
        for source, make in of_sources.items():
            for count in options.instances:
                cases[_name(source, size, count)] = (source, size, count, make(count))
    with torch.inference_mode():
        times = time_interleaved(
            {name: case[3].fuse_and_download for name, case in cases.items()},
            benchmark_run.rounds,
            benchmark_run.device,
        )
    rows = [_row(*case, times[name]) for name, case in cases.items()]
    comparison, holds = _compare(options, benchmark_run)
    parameters = {
        "rounds": benchmark_run.rounds.counted,
        "compared_size": list(options.compared_size),
        "compared_instances": options.compared_instances,
        "required_ratio": REQUIRED,
        "requirement_holds": holds,
    }
    return Results("fusion", benchmark_run.conditions, parameters, rows + comparison, NOTES)


def _name(source: str, size: tuple[int, int], count: int) -> str:
    return f"{source} {size[0]}x{size[1]} {count}"


def _row(source: str, size: tuple[int, int], asked: int, case: FusionInput, seconds: list[float]) -> dict[str, Any]:
    height, width = case.geometry.padded
    return {
        "kind": "cost",
        "embedding": source,
        "size": list(size),
        "network_input": [height, width],
        "instances_asked": asked,
        "instances": len(case.instances.queries),
        "stuff_classes": len(case.stuff_queries),
        "segments": int((case.fuse().segment_id > 0).sum()),
        "undecided_cells": case.undecided_cells(),
        "fusion": milliseconds(seconds),
    }


def _compare(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> tuple[list[dict[str, Any]], bool | None]:
    """Measure the methods; returns rows, and whether all ratios are as required, or None if one is missing."""
    size = options.compared_size
    case = random_input(size, options.compared_instances, benchmark_run.device)
    actions: dict[str, Callable[[], Any]] = {
        CIAE_FUSION: case.fuse_and_download,
        ASSIGNMENT: case.assign,
        REFERENCE_IMPLEMENTATION: case.assign_reference,
    }
    segments = {CIAE_FUSION: int((case.fuse().segment_id > 0).sum())}
    mask2former = _mask2former(size, benchmark_run.device)
    if mask2former is not None:
        actions[MASK2FORMER] = mask2former
        segments[MASK2FORMER] = len(mask2former()[1])
    with torch.inference_mode():
        times = {
            name: milliseconds(v)
            for name, v in time_interleaved(actions, benchmark_run.rounds, benchmark_run.device).items()
        }
    ours = times[CIAE_FUSION]["median"]
    rows: list[dict[str, Any]] = []
    for name in (CIAE_FUSION, ASSIGNMENT, REFERENCE_IMPLEMENTATION, MASK2FORMER):
        row: dict[str, Any] = {"kind": "comparison", "name": name, "size": list(size)}
        if name in times:
            row |= {"fusion": times[name], "ratio": times[name]["median"] / ours, "segments": segments.get(name)}
        else:
            row["note"] = f"{NOT_MEASURED}: transformers not installed: pip install -r requirements-bench.txt"
        rows.append(row)
    ratios = [row.get("ratio") for row in rows if row["name"] in (REFERENCE_IMPLEMENTATION, MASK2FORMER)]
    return rows, None if None in ratios else all(ratio >= REQUIRED for ratio in ratios)  # type: ignore[operator]


def _mask2former(size: tuple[int, int], device: torch.device) -> Callable[[], tuple[Any, Any]] | None:
    """Return Mask2Former's post-processing, including the download; None if the library is missing."""
    if util.find_spec("transformers") is None:
        return None
    from transformers import Mask2FormerImageProcessor  # noqa: PLC0415 (optional dependency)

    processor = Mask2FormerImageProcessor()
    like = MaskOutputs(
        torch.empty(1, QUERIES, CLASSES + 1, device=device),
        torch.empty(1, QUERIES, size[0] // 4, size[1] // 4, device=device),
    )
    outputs = synthetic_outputs(like, QUERIES, THINGS)
    stuff = set(range(THINGS, CLASSES))

    def postprocess() -> tuple[Any, Any]:
        (result,) = processor.post_process_panoptic_segmentation(outputs, target_sizes=[size], label_ids_to_fuse=stuff)
        return result["segmentation"].cpu(), result["segments_info"]

    return postprocess


def table(results: Results) -> str:
    """Format the results as Markdown."""
    costs = [row for row in results.rows if row["kind"] == "cost"]
    comparison = [row for row in results.rows if row["kind"] == "comparison"]
    parameters = results.parameters
    size = "{} x {}".format(*parameters["compared_size"])
    verdict = {True: "holds", False: "does not hold", None: NOT_MEASURED}[parameters["requirement_holds"]]
    return "\n\n".join(
        [
            markdown_table(
                ["image", "network's input", "embedding", "instances", "segments", "undecided cells", "fusion ms"],
                [
                    [
                        _size_cell(row["size"]),
                        _size_cell(row["network_input"]),
                        row["embedding"],
                        str(row["instances"]),
                        str(row["segments"]),
                        f"{row['undecided_cells']:.0%}",
                        spread_cell(row["fusion"], 2),
                    ]
                    for row in costs
                ],
            ),
            f"At {size} with {parameters['compared_instances']} instances and {NUM_STUFF} stuff classes; at least "
            f"{parameters['required_ratio']:g} times as long is required of literal and Mask2Former: {verdict}.",
            markdown_table(
                ["fusion", "segments", "ms", "ratio"],
                [
                    [
                        row["name"],
                        number_cell(row.get("segments"), 0),
                        spread_cell(row["fusion"], 2) if "fusion" in row else row["note"],
                        number_cell(row.get("ratio")),
                    ]
                    for row in comparison
                ],
            ),
        ]
    )


def _size_cell(size: list[int]) -> str:
    return f"{size[0]} x {size[1]}"
