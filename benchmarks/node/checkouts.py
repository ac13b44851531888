# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`checkouts`: this checkout and another one, such as that of an earlier commit, measured alternately in one run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table, number_cell
from benchmarks.harness.timing import interleaved
from benchmarks.node.start import HERE, start_and_load
from benchmarks.node.start import NOTES as START_NOTES
from ciae_ros.core.processes import isolated_ros_environment

TIMEOUT = 600
SIZE = ("512", "672")
"""Height and width of the frames."""
NOTES = [
    "Medians of the rounds, in each of which both checkouts were measured, in alternating order, after a round without "
    "measurement in which each fills its caches.",
    *START_NOTES,
    f"Frame: all stages of {' x '.join(SIZE)}, one after the other (`python -m benchmarks pipeline`), and with the "
    "node's components over DDS (`python -m benchmarks frame`).",
    "Demo: results for the 250 images of the demo's street clip, published at 25 images/s.",
]
Measures = dict[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--other", type=Path, required=True, metavar="FOLDER", help="the other checkout, with set-up completed")
    add("--models", nargs="+", default=["scenes_light", "untrained/r50_512"], metavar="MODEL")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark.

    Raises:
        ValueError: the other folder is not a checkout, or one of the commands fails.
    """
    other = options.other.resolve()
    if not (other / "benchmarks" / "__main__.py").is_file():
        raise ValueError(f"{other} is not a checkout of this project: give its folder with --other")
    checkouts = {"other": other, "this": HERE}
    with isolated_ros_environment() as environment:
        actions = {
            name: lambda folder=folder: _measure(folder, options.models, environment)
            for name, folder in checkouts.items()
        }
        found = interleaved(actions, benchmark_run.rounds)
    rows = [
        {"measure": measure, **{name: float(np.median([each[measure] for each in found[name]])) for name in checkouts}}
        for measure in found["this"][0]
    ]
    parameters = {"other": _commit(other), "rounds": benchmark_run.rounds.counted}
    return Results("checkouts", benchmark_run.conditions, parameters, rows, NOTES)


def table(results: Results) -> str:
    """Format the results as Markdown, with a line for each measure."""
    lines = [
        [
            row["measure"],
            number_cell(row["other"]),
            number_cell(row["this"]),
            number_cell(row["this"] / row["other"], 2),
        ]
        for row in results.rows
    ]
    return markdown_table(["", results.parameters["other"], results.conditions["commit"], "ratio"], lines)


def _measure(folder: Path, models: Sequence[str], environment: dict[str, str]) -> Measures:
    start, memory = start_and_load(folder, environment, {})
    found = {"start, s": start, "peak memory, MB": memory}
    for kind, measure in (("pipeline", _pipeline), ("frame", _frame)):
        with tempfile.TemporaryDirectory() as output:
            found |= measure(folder, models, ["-m", "benchmarks", kind, "--output", output], environment)
    with tempfile.TemporaryDirectory() as output:
        _run(folder, ["-m", "ciae_ros.demo", "--output", output], environment)
        summary = json.loads((Path(output) / "summary.json").read_text())
    latency = summary["latency from stamp to recorded labels [s]"]["p50"]
    return found | {"demo, results": summary["frames"]["segmented"], "demo, median latency, ms": 1e3 * latency}


def _pipeline(folder: Path, models: Sequence[str], command: list[str], environment: dict[str, str]) -> Measures:
    sizes = ["--models", *models, "--image-size", *SIZE, "--frames", "3", "--rounds", "5", "--warm-up", "1"]
    return {
        f"frame of {row['model']}, ms": row["sequential"]["median"]
        for row in _rows(folder, [*command, *sizes], environment)
    }


def _frame(folder: Path, models: Sequence[str], command: list[str], environment: dict[str, str]) -> Measures:
    rows = _rows(folder, [*command, "--shares-only", "--rounds", "15"], environment)
    return {
        f"frame with DDS, untrained light preset, {row['instances_asked']} instances, ms": row["frame"]
        for row in rows
        if row["size"] == [int(length) for length in SIZE]
    }


def _rows(folder: Path, command: list[str], environment: dict[str, str]) -> list[dict[str, Any]]:
    """Run a benchmark of a checkout and return the rows that it has written."""
    _run(folder, command, environment)
    output, name = Path(command[command.index("--output") + 1]), command[2]
    return json.loads((output / f"{name}.json").read_text())["rows"]


def _run(folder: Path, command: list[str], environment: dict[str, str]) -> None:
    found = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if found.returncode:
        raise ValueError(f"python {' '.join(command)} failed in {folder}: {found.stdout[-500:]}")


def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or str(folder)
