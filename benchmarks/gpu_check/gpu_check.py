# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`gpu-check`: tests, accuracy and times of a CUDA device in one command, which continues after a part that fails."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from importlib import util
from pathlib import Path
from typing import Any

import cv2

from benchmarks.gpu_check.environment import describe_environment
from benchmarks.gpu_check.parts import PARTS, SOURCE, Part
from benchmarks.harness.commands import benchmark_module
from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table
from ciae_ros.camera.frames import SourceError
from ciae_ros.demo.clip import find_demo_clip
from ciae_ros.inference.self_test import textured_image

OUTPUT = Path("out/gpu_check")
MIN_SECONDS = 10
"""A part is not begun with less time left."""
LAST_CHARACTERS = 800
"""Length of the end of the output that is reported of a part that fails."""
PASSED, FAILED, NOT_RUN, LEFT_OUT = "passed", "failed", "not run", "left out"
NOTES = ["Each part is a benchmark in its own process; its output is in parts/NAME/output.txt."]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add, names = parser.add_argument, [part.name for part in PARTS]
    add(
        "--parts", nargs="+", choices=names, default=names, metavar="PART", help=f"of {', '.join(names)} (default: all)"
    )
    add("--minutes", type=float, default=9.0, help="time limit of all parts together (default: %(default)s)")
    add("--dry-run", action="store_true", help="tiny sizes, to try the command on any machine")
    parser.set_defaults(output=OUTPUT)


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the parts, and write `gpu-check.json` and `gpu-check.md` after each of them, so that no result is lost.

    Raises:
        ValueError: the device is the CPU, and this is no dry run.
    """
    if benchmark_run.device.type == "cpu" and not options.dry_run:
        raise ValueError("gpu-check needs a CUDA device; --dry-run tries the command on the CPU")
    end = time.monotonic() + 60 * options.minutes
    options.output.mkdir(parents=True, exist_ok=True)
    source = _find_images(options)
    conditions = benchmark_run.conditions | describe_environment(benchmark_run.device)
    parameters = {"parts": options.parts, "images": source, "dry_run": options.dry_run, "minutes": options.minutes}
    results = Results("gpu-check", conditions, parameters, [], NOTES)
    for part in PARTS:
        if part.name in options.parts:
            print(f"{part.name} ...", file=sys.stderr, flush=True)
            row = _run_part(part, options, source, benchmark_run.device.type == "cuda", end)
            print(f"{part.name}: {_outcome(row)}", file=sys.stderr, flush=True)
            results.rows.append(row)
            results.write(options.output)
            _write_report(results, options.output / "gpu-check.md")
    return results


def _write_report(results: Results, path: Path) -> None:
    path.write_text(f"# Check of {results.conditions['device']}\n\n{table(results)}\n", encoding="utf-8")


def exit_code(results: Results) -> int:
    """Return 0 if every part has passed."""
    return int(bool(_failed_or_missing(results)))


def table(results: Results) -> str:
    """Format all results as Markdown."""
    conditions = [[name, f"`{value}`"] for name, value in results.conditions.items()]
    sections = ["Dry run: tiny sizes and models, whose times mean nothing."] if results.parameters["dry_run"] else []
    sections += [
        markdown_table(["condition", ""], [*conditions, ["images", f"`{results.parameters['images']}`"]]),
        markdown_table(
            ["part", "result", "seconds"],
            [[row["part"], _outcome(row), f"{row['seconds']:.0f}"] for row in results.rows],
        ),
        *(_section(Results(**row["results"]), row["title"]) for row in results.rows if row["results"]),
    ]
    failed = _failed_or_missing(results)
    return "\n\n".join([*sections, f"Failed or not run: {', '.join(failed)}." if failed else "Every part has passed."])


def _section(results: Results, title: str) -> str:
    content = benchmark_module(results.benchmark).table(results)
    notes = "\n".join(f"- {note}" for note in results.notes)
    return f"## {title}\n\n`{results.conditions['command']}`\n\n{content}\n\n{notes}"


def _failed_or_missing(results: Results) -> list[str]:
    """Return the names of the parts that failed, or that have not run, also because the check was interrupted."""
    good = {row["part"] for row in results.rows if row["status"] in (PASSED, LEFT_OUT)}
    return [part for part in results.parameters["parts"] if part not in good]


def _outcome(row: dict[str, Any]) -> str:
    faults = "; ".join(row["faults"]).replace("|", "\\|")
    return f"{row['status']}: {faults}" if faults else str(row["status"])


def _find_images(options: argparse.Namespace) -> str:
    """Return the source of images: as given, or the demo's clip, or else a folder with a synthetic image."""
    if options.source is not None:
        return str(options.source)
    try:
        return find_demo_clip()
    except SourceError:
        folder: Path = options.output / "synthetic_images"
        print(f"there is no demo clip, and no images are given with --source: using {folder}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "texture.png"), textured_image(1080, 1920))
    return str(folder)


def _run_part(part: Part, options: argparse.Namespace, source: str, is_cuda: bool, end: float) -> dict[str, Any]:
    row: dict[str, Any] = {"part": part.name, "title": part.title, "seconds": 0.0, "results": None}
    missing = [name for name in part.needs if util.find_spec(name) is None]
    if missing:
        return row | {"status": LEFT_OUT, "faults": [f"it needs {', '.join(missing)}"]}
    remaining = end - time.monotonic()
    if remaining < MIN_SECONDS:
        return row | {"status": NOT_RUN, "faults": ["the time was up (--minutes)"]}
    folder = options.output / "parts" / part.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{part.benchmark}.json"
    path.unlink(missing_ok=True)
    start = time.monotonic()
    limit = remaining if options.dry_run else min(remaining, part.seconds)
    fault = _run_process(_command(part, options, source, folder), folder / "output.txt", limit)
    row["seconds"] = time.monotonic() - start
    if fault:
        return row | {"status": FAILED, "faults": [fault]}
    try:
        results = Results.read(path)
    except ValueError as error:
        return row | {"status": FAILED, "faults": [str(error)]}
    faults = list(part.faults(results.rows, is_cuda))
    return row | {"status": FAILED if faults else PASSED, "faults": faults, "results": asdict(results)}


def _command(part: Part, options: argparse.Namespace, source: str, folder: Path) -> list[str]:
    arguments = [argument.replace(SOURCE, source) for argument in (part.dry_run if options.dry_run else part.arguments)]
    common = ["--device", options.device, "--output", str(folder)]
    return [sys.executable, "-m", "benchmarks", part.benchmark, *common, *arguments]


def _run_process(command: list[str], output: Path, limit: float) -> str:
    """Run a command with its children; returns why it failed, or an empty string."""
    with output.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f"not finished after {limit:.0f} s"
        finally:
            # Also its children, and in every case: a process that has crashed may leave some.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code == 0:
        return ""
    return f"exit code {code}: {' '.join(output.read_text(encoding='utf-8')[-LAST_CHARACTERS:].split())}"
