# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`networks`: CIAE beside other networks, on the same images in the same run."""

from __future__ import annotations

import argparse
import gc
from typing import Any

import numpy as np
import torch

from ciae_ros.benchmark.contestant import Contestant, Setup, StageSeconds
from ciae_ros.benchmark.contestants import CONTESTANTS, REFERENCE, NotInstalledError, build
from ciae_ros.benchmark.counting import count_macs
from ciae_ros.benchmark.images import read_images
from ciae_ros.benchmark.measuring import Rounds, in_turns, milliseconds
from ciae_ros.benchmark.options import Run, positive
from ciae_ros.benchmark.paper_times import TABLE_1, paper_time
from ciae_ros.benchmark.peak_memory import measure_in_child
from ciae_ros.benchmark.results import (
    NOT_MEASURED,
    Results,
    markdown_table,
    number_cell,
    spread_cell,
)

NOTES = [
    "Random weights. All contestants are aimed at the same number of instances N; `settings` says how.",
    "Times are medians with 10th and 90th percentile, of rounds in which every contestant segments the same image. "
    "End to end is from an image on the host to the result on the host, at the image's size; it includes CIAE's "
    "pre-processing for all but torchvision's network, which has its own.",
    "Post-processing is not the same work everywhere: CIAE's includes proposals and non-maximum suppression, Mask "
    "R-CNN has those in its network and pastes masks only.",
    "CIAE's network runs as the node runs it, with folded batch normalisations and channels last; the others run as "
    "their libraries build them.",
    "In half precision CIAE's weights are half too; the others run under autocast with weights in fp32.",
    "GMAC: of convolutions and matrix products, counted once on the first image; sampling operators are left out.",
    "Peak memory: in a process of its own for each. CUDA: torch.cuda.max_memory_allocated; CPU: growth of the resident "
    "memory from before the network was built to the peak while two images were segmented.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    add = parser.add_argument
    add(
        "--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="NAME", help="which of them"
    )
    add("--image-size", type=positive, nargs=2, default=(480, 640), metavar=("H", "W"), help="default: COCO's, 480 640")
    add("--instances", type=positive, default=20, help="aimed at in an image (default: 20)")
    add("--scale", type=float, default=1.0, help="factor on the networks' input sizes, to try the command with")
    add("--no-memory", action="store_true", help="do not measure the peak memory, which takes a process for each")


def run(options: argparse.Namespace, run_of: Run) -> Results:
    """Measure."""
    images = read_images(options.source, run_of.rounds.counted, tuple(options.image_size))
    setup = Setup(options.device, options.precision, options.instances, options.scale)
    contestants, rows = _build_all(options.contestants, setup, images[0])
    times = _times(contestants, images, run_of.rounds)
    for name, contestant in contestants.items():
        rows[name] |= _measured(contestant, times[name], images[0])
    contestants.clear()
    gc.collect()
    for name, row in rows.items():
        if "end_to_end" in row and not options.no_memory:
            row.update(_peak_memory(name, setup, tuple(options.image_size)))
    _add_ratios(rows)
    parameters = {
        "image_size": list(options.image_size),
        "instances": options.instances,
        "scale": options.scale,
        "rounds": run_of.rounds.counted,
        "images": len(images),
    }
    return Results("networks", run_of.conditions, parameters, list(rows.values()), NOTES)


def _build_all(
    names: list[str], setup: Setup, image: np.ndarray
) -> tuple[dict[str, Contestant], dict[str, dict[str, Any]]]:
    contestants, rows = {}, {}
    for name in names:
        rows[name] = {"name": name}
        try:
            contestant = build(name, setup)
            contestant.aim(image)
        except NotInstalledError as error:
            rows[name]["note"] = f"{NOT_MEASURED}: {error}"
            continue
        except (ImportError, RuntimeError) as error:
            # A version of a library that does not go with this one should not cost the others' figures.
            rows[name]["note"] = f"{NOT_MEASURED}: {' '.join(str(error).split())[:200]}"
            continue
        contestants[name] = contestant
    return contestants, rows


def _times(
    contestants: dict[str, Contestant], images: list[np.ndarray], rounds: Rounds
) -> dict[str, list[tuple[StageSeconds, int]]]:
    turns = dict.fromkeys(contestants, 0)

    def segment_next(name: str) -> tuple[StageSeconds, int]:
        image = images[turns[name] % len(images)]
        turns[name] += 1
        return contestants[name].run(image)

    return in_turns({name: lambda name=name: segment_next(name) for name in contestants}, rounds)  # type: ignore[misc]


def _measured(contestant: Contestant, runs: list[tuple[StageSeconds, int]], image: np.ndarray) -> dict[str, Any]:
    times = [stages for stages, _ in runs]
    end_to_end = milliseconds([stages.total for stages in times])
    with torch.no_grad():
        inputs = contestant.preprocess(image)
    return {
        "input": contestant.input,
        "settings": contestant.settings,
        "preprocess": milliseconds([stages.preprocess for stages in times]),
        "network": milliseconds([stages.network for stages in times]),
        "postprocess": milliseconds([stages.postprocess for stages in times]),
        "end_to_end": end_to_end,
        "images_per_second": 1e3 / end_to_end["median"],
        "segments": float(np.median([segments for _, segments in runs])),
        "gmac": count_macs(lambda: contestant.network(inputs)) / 1e9,
        "parameters": sum(parameter.numel() for parameter in contestant.module.parameters()),
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
    """In Markdown, with the paper's Table I."""
    header = ["network", "input", "GMAC", "M parameters", "network ms", "post-processing ms", "end to end ms"]
    header += ["images/s", "peak MB", f"of {REFERENCE}", "segments", "paper: end to end", "paper: fusion"]
    cells = [_cells(row) for row in results.rows]
    settings = dict.fromkeys(f"- {row['name']}: {row['settings']}" for row in results.rows if "settings" in row)
    of_paper = [
        [row.method, row.backbone, str(row.pq), row.device, str(row.inference_ms), str(row.fusing_ms or "-")]
        for row in TABLE_1
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
    paper = paper_time(row["name"])
    published = [str(paper.inference_ms), str(paper.fusing_ms)] if paper else ["", ""]
    if "end_to_end" not in row:
        return [row["name"], row["note"], *[""] * 9, *published]
    peak = row.get("peak_memory_bytes")
    return [
        row["name"],
        row["input"],
        number_cell(row["gmac"]),
        number_cell(row["parameters"] / 1e6),
        spread_cell(row["network"]),
        spread_cell(row["postprocess"]),
        spread_cell(row["end_to_end"]),
        number_cell(row["images_per_second"], 2),
        number_cell(peak / 2**20, 0) if peak else NOT_MEASURED,
        number_cell(row.get("end_to_end_ratio"), 2),
        number_cell(row["segments"], 0),
        *published,
    ]
