# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`networks`: CIAE compared with other networks, on the same images in the same run."""

from __future__ import annotations

import argparse
import gc
from typing import Any

import numpy as np
import torch

from benchmarks.harness.images import read_images
from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import (
    NOT_MEASURED,
    Results,
    markdown_table,
    number_cell,
    spread_cell,
)
from benchmarks.harness.timing import Rounds, interleaved, milliseconds
from benchmarks.networks.baseline import Baseline, Setup, StageSeconds
from benchmarks.networks.baselines import BASELINES, REFERENCE, NotInstalledError, build
from benchmarks.networks.peak_memory import measure_in_child
from benchmarks.networks.published_times import PUBLISHED_TIMES, published_time
from benchmarks.roofline.operator_counts import count_macs
from ciae_ros.core.arguments import positive_int
from ciae_ros.model import PRESETS

NOTES = [
    "Random weights. All networks are set to detect about the same number of instances N, see `settings`.",
    "Times are medians with 10th and 90th percentile, of rounds in which every network segments the same image. "
    "End to end is from an image on the host to the result on the host, at the image's size; it includes CIAE's "
    "pre-processing for all but torchvision's network, which has its own.",
    "Post-processing differs: CIAE's includes proposals and non-maximum suppression; Mask R-CNN's network includes "
    "them, and its post-processing only pastes masks.",
    "CIAE and the networks of transformers run as in the node, CIAE with folded batch normalisations; Mask R-CNN runs "
    "as its library builds it.",
    "Masks are merged by ciae_ros; `library's` is the time of transformers' "
    "post_process_panoptic_segmentation for the same outputs in the same rounds, which is not part of the total.",
    "In half precision Mask R-CNN runs under autocast with weights in fp32; the weights of the others are half too.",
    "GMAC: of convolutions and matrix products, counted once on the first image, without sampling operators.",
    "Peak memory: each in its own process. CUDA: torch.cuda.max_memory_allocated; CPU: growth of the resident "
    "memory from before the network was built to the peak while two images were segmented.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--baselines", nargs="+", choices=BASELINES, default=list(BASELINES), metavar="NAME", help="networks to run")
    add(
        "--image-size",
        type=positive_int,
        nargs=2,
        default=(480, 640),
        metavar=("H", "W"),
        help="default: that of COCO, 480 640",
    )
    add("--instances", type=positive_int, default=20, help="target number of instances in an image (default: 20)")
    add("--scale", type=float, default=1.0, help="factor on the networks' input sizes, for quick trials")
    add("--no-memory", action="store_true", help="skip the peak memory, which needs a process for each network")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark."""
    images = read_images(options.source, benchmark_run.rounds.counted, tuple(options.image_size))
    setup = Setup(options.device, options.precision, options.instances, options.scale)
    baselines, rows = _build_all(options.baselines, setup, images[0])
    times = _times(baselines, images, benchmark_run.rounds)
    for name, baseline in baselines.items():
        rows[name] |= _measured(baseline, times[name], images[0])
    baselines.clear()
    gc.collect()
    for name, row in rows.items():
        if "end_to_end" in row and not options.no_memory:
            row.update(_peak_memory(name, setup, tuple(options.image_size)))
    _add_ratios(rows)
    parameters = {
        "image_size": list(options.image_size),
        "instances": options.instances,
        "scale": options.scale,
        "rounds": benchmark_run.rounds.counted,
        "images": len(images),
    }
    return Results("networks", benchmark_run.conditions, parameters, list(rows.values()), NOTES)


def _build_all(
    names: list[str], setup: Setup, image: np.ndarray
) -> tuple[dict[str, Baseline], dict[str, dict[str, Any]]]:
    baselines, rows = {}, {}
    for name in names:
        rows[name] = {"name": name}
        try:
            baseline = build(name, setup)
            baseline.target_instance_count(image)
        except NotInstalledError as error:
            rows[name]["note"] = f"{NOT_MEASURED}: {error}"
            continue
        except (ImportError, RuntimeError) as error:
            # An incompatible version of a library must not prevent the other measurements.
            rows[name]["note"] = f"{NOT_MEASURED}: {' '.join(str(error).split())[:200]}"
            continue
        baselines[name] = baseline
    return baselines, rows


def _times(
    baselines: dict[str, Baseline], images: list[np.ndarray], rounds: Rounds
) -> dict[str, list[tuple[StageSeconds, int]]]:
    rounds_done = dict.fromkeys(baselines, 0)

    def segment_next(name: str) -> tuple[StageSeconds, int]:
        image = images[rounds_done[name] % len(images)]
        rounds_done[name] += 1
        return baselines[name].run(image)

    return interleaved({name: lambda name=name: segment_next(name) for name in baselines}, rounds)  # type: ignore[misc]


def _measured(baseline: Baseline, runs: list[tuple[StageSeconds, int]], image: np.ndarray) -> dict[str, Any]:
    times = [stages for stages, _ in runs]
    end_to_end = milliseconds([stages.total for stages in times])
    of_library = [stages.library_postprocess for stages in times if stages.library_postprocess is not None]
    with torch.no_grad():
        inputs = baseline.preprocess(image)
    return {
        "input": baseline.input,
        "settings": baseline.settings,
        "preprocess": milliseconds([stages.preprocess for stages in times]),
        "network": milliseconds([stages.network for stages in times]),
        "postprocess": milliseconds([stages.postprocess for stages in times]),
        "library_postprocess": milliseconds(of_library) if of_library else None,
        "end_to_end": end_to_end,
        "images_per_second": 1e3 / end_to_end["median"],
        "segments": float(np.median([segments for _, segments in runs])),
        "gmac": count_macs(lambda: baseline.network(inputs)) / 1e9,
        "parameters": sum(parameter.numel() for parameter in baseline.module.parameters()),
    }


def _peak_memory(name: str, setup: Setup, image_size: tuple[int, int]) -> dict[str, Any]:
    try:
        return {"peak_memory_bytes": measure_in_child(name, setup, image_size)}
    except RuntimeError as error:
        return {"peak_memory_bytes": None, "note": f"peak memory {NOT_MEASURED}: {error}"}


def _add_ratios(rows: dict[str, dict[str, Any]]) -> None:
    reference = rows.get(REFERENCE, {})
    for row in rows.values():
        if "end_to_end" in row and "end_to_end" in reference:
            for measure in ("network", "end_to_end"):
                row[f"{measure}_ratio"] = row[measure]["median"] / reference[measure]["median"]


def table(results: Results) -> str:
    """Format the results as Markdown, with the paper's Table I."""
    header = [
        "network",
        "input",
        "GMAC",
        "M parameters",
        "network ms",
        "post-processing ms",
        "library's",
        "end to end ms",
    ]
    header += ["images/s", "peak MB", f"of {REFERENCE}", "segments", "paper: end to end", "paper: fusion"]
    cells = [_cells(row) for row in results.rows]
    settings = dict.fromkeys(f"- {row['name']}: {row['settings']}" for row in results.rows if "settings" in row)
    of_paper = [
        [row.method, row.backbone, str(row.pq), row.device, str(row.inference_ms), str(row.fusion_ms or "-")]
        for row in PUBLISHED_TIMES
    ]
    of_paper_header = ["method", "backbone", "PQ", "device", "inference ms", "fusion ms"]
    return "\n\n".join(
        [
            markdown_table(header, cells),
            "\n".join(settings),
            "The paper's Table I (COCO validation set; * measured by its authors on the 2080 Ti):",
            markdown_table(of_paper_header, of_paper),
        ]
    )


def _cells(row: dict[str, Any]) -> list[str]:
    preset = PRESETS.get(row["name"].removeprefix("ciae_"))
    paper = published_time(preset) if preset else None
    published = [str(paper.inference_ms), str(paper.fusion_ms)] if paper else ["", ""]
    if "end_to_end" not in row:
        return [row["name"], row["note"], *[""] * 10, *published]
    peak = row.get("peak_memory_bytes")
    return [
        row["name"],
        row["input"],
        number_cell(row["gmac"]),
        number_cell(row["parameters"] / 1e6),
        spread_cell(row["network"]),
        spread_cell(row["postprocess"]),
        spread_cell(row["library_postprocess"]) if row["library_postprocess"] else "",
        spread_cell(row["end_to_end"]),
        number_cell(row["images_per_second"], 2),
        number_cell(peak / 2**20, 0) if peak else NOT_MEASURED,
        number_cell(row.get("end_to_end_ratio"), 2),
        number_cell(row["segments"], 0),
        *published,
    ]
