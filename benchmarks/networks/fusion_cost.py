# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`fusion`: time of CIAE's fusion by number of instances and image size, and of other methods."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from importlib import util
from typing import Any

import torch

from benchmarks.harness.images import read_images
from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import NOT_MEASURED, Results, markdown_table, number_cell, spread_cell
from benchmarks.harness.timing import milliseconds, time_interleaved
from benchmarks.networks.fusion_inputs import NUM_STUFF, FusionInput, random_input, real_inputs
from benchmarks.networks.synthetic_masks import LibraryOutputs, synthetic_outputs
from ciae_ros.core.arguments import image_size, positive_int
from ciae_ros.core.known_categories import coco_categories
from ciae_ros.inference import InferenceSettings
from ciae_ros.inference.fusion.mask_merging import ClassCategories, merge_masks
from ciae_ros.inference.fusion.triton_support import runs_triton
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.settings import DeviceSettings

INSTANCES = (0, 10, 100, 300)
SIZES = ("512x672", "800x1088", "1080x1920", "2160x3840")
COMPARED_SIZE, COMPARED_INSTANCES = "800x1088", 100
REQUIRED = 10.0
"""Required ratio of the other methods' times to that of CIAE."""
QUERIES, THINGS, CLASSES = 100, 80, 133
"""Number of queries of Mask2Former on COCO panoptic."""

REQUIRED_OF_MERGING = 5.0
"""Required ratio of transformers' times for merging masks to those of this package."""
CIAE_FUSION, ASSIGNMENT, REFERENCE_IMPLEMENTATION, MASK2FORMER, EOMT, MERGING = METHODS = (
    "ciae_ros",
    "ciae_ros, assignment only",
    "reference, Eq. 16 taken literally",
    "Mask2Former, transformers",
    "EoMT, transformers",
    "Mask2Former or EoMT, ciae_ros",
)
NOTES = [
    "Fusion: from proposals and embedding map to label map and segments on the host, as the paper defines it.",
    "The network's shorter side is 800, or the image's if that is shorter, its longer side at most 1333. Random: "
    "smooth random embeddings of 32 dimensions, 53 stuff classes, boxes of up to half the image. Real: scenes_light "
    "at 512 on a real image, with the highest scores.",
    "Undecided cells: those of the stride-4 map whose four corners have different queries; more are slower on a CPU.",
    "Literal: Eq. 16 alone, at full size (up-sample, normalise, multiply, mask by boxes, argmax), without the "
    "statistics of the segments and without download, which favours it.",
    "Mask2Former, EoMT: post_process_panoptic_segmentation of 100 queries at a quarter of the size to the same output "
    "size; the outputs are synthetic so that the queries are kept: each has a confident thing class and a Voronoi cell "
    "of the image with soft borders as its mask. The last row merges the same outputs with this package.",
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
    comparison = _compare(options, benchmark_run)
    parameters = {
        "rounds": benchmark_run.rounds.counted,
        "compared_size": list(options.compared_size),
        "compared_instances": options.compared_instances,
        "required_ratio": REQUIRED,
        "requirement_holds": _holds(comparison, (REFERENCE_IMPLEMENTATION, MASK2FORMER), CIAE_FUSION, REQUIRED),
        "required_ratio_of_merging": REQUIRED_OF_MERGING,
        "requirement_of_merging_holds": _holds(comparison, (MASK2FORMER, EOMT), MERGING, REQUIRED_OF_MERGING),
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


def _compare(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> list[dict[str, Any]]:
    """Measure the methods; returns their rows."""
    size = options.compared_size
    case = random_input(size, options.compared_instances, benchmark_run.device)
    actions: dict[str, Callable[[], Any]] = {
        CIAE_FUSION: case.fuse_and_download,
        ASSIGNMENT: case.assign,
        REFERENCE_IMPLEMENTATION: case.assign_reference,
    }
    segments = {CIAE_FUSION: int((case.fuse().segment_id > 0).sum())}
    for name, merge in _merges(size, benchmark_run.device).items():
        actions[name] = merge
        segments[name] = merge()
    with torch.inference_mode():
        times = {
            name: milliseconds(v)
            for name, v in time_interleaved(actions, benchmark_run.rounds, benchmark_run.device).items()
        }
    ours = times[CIAE_FUSION]["median"]
    rows: list[dict[str, Any]] = []
    for name in METHODS:
        row: dict[str, Any] = {"kind": "comparison", "name": name, "size": list(size)}
        if name in times:
            row |= {"fusion": times[name], "ratio": times[name]["median"] / ours, "segments": segments.get(name)}
        else:
            row["note"] = f"{NOT_MEASURED}: transformers not installed: pip install -r requirements-models.txt"
        rows.append(row)
    return rows


def _holds(rows: list[dict[str, Any]], slow: tuple[str, ...], fast: str, required: float) -> bool | None:
    """Return whether each slow method takes `required` times as long as the fast one; None if one is missing."""
    median = {row["name"]: row["fusion"]["median"] for row in rows if "fusion" in row}
    if not median.keys() >= set(slow):
        return None
    return all(median[name] >= required * median[fast] for name in slow)


def _merges(size: tuple[int, int], device: torch.device) -> dict[str, Callable[[], int]]:
    """Return functions that merge masks, including the download; each returns the number of segments."""
    like = LibraryOutputs(
        torch.empty(1, QUERIES, CLASSES + 1, device=device),
        torch.empty(1, QUERIES, size[0] // 4, size[1] // 4, device=device),
    )
    outputs = synthetic_outputs(like, QUERIES, THINGS)
    stuff, categories = range(THINGS, CLASSES), coco_categories()
    num_stuff = len(categories.stuff)
    class_categories = ClassCategories(
        torch.tensor([*range(num_stuff, CLASSES), *range(num_stuff), -1], device=device), num_stuff
    )
    geometry = ImageGeometry(size, size, size)
    host_settings = InferenceSettings(score_threshold=0.8, max_instances=QUERIES)
    settings = DeviceSettings(host_settings, device) if runs_triton(device) else host_settings

    def merge() -> int:
        classes, masks = outputs.class_queries_logits[0], outputs.masks_queries_logits[0]
        return len(merge_masks(classes, masks, class_categories, settings, 0, geometry).to_result(categories).segments)

    if util.find_spec("transformers") is None:
        return {MERGING: merge}
    from transformers import EomtImageProcessor, Mask2FormerImageProcessor  # noqa: PLC0415 (optional dependency)

    of_mask2former = Mask2FormerImageProcessor().post_process_panoptic_segmentation
    of_eomt = EomtImageProcessor(
        size={"shortest_edge": min(size), "longest_edge": max(size)}
    ).post_process_panoptic_segmentation

    def merge_by_library(process: Callable[..., list[dict[str, Any]]], **stuff_classes: Any) -> int:
        (result,) = process(outputs, threshold=0.8, target_sizes=[size], **stuff_classes)
        result["segmentation"].cpu()
        return len(result["segments_info"])

    return {
        MERGING: merge,
        MASK2FORMER: partial(merge_by_library, of_mask2former, label_ids_to_fuse=set(stuff)),
        EOMT: partial(merge_by_library, of_eomt, stuff_classes=list(stuff)),
    }


def table(results: Results) -> str:
    """Format the results as Markdown."""
    costs = [row for row in results.rows if row["kind"] == "cost"]
    comparison = [row for row in results.rows if row["kind"] == "comparison"]
    parameters = results.parameters
    size = "{} x {}".format(*parameters["compared_size"])
    verdicts = {True: "holds", False: "does not hold", None: NOT_MEASURED}
    verdict = verdicts[parameters["requirement_holds"]]
    of_merging = verdicts[parameters["requirement_of_merging_holds"]]
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
            f"{parameters['required_ratio']:g} times as long is required of literal and Mask2Former: {verdict}. "
            f"Merging of masks: at least {parameters['required_ratio_of_merging']:g} times as long as by ciae_ros is "
            f"required of transformers: {of_merging}.",
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
