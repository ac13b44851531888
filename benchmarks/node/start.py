# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`start`: from the start of a node's process to the state active, and its memory."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.results import Results, markdown_table, number_cell, spread_cell
from benchmarks.harness.timing import milliseconds
from ciae_ros.core.processes import isolated_ros_environment

HERE = Path(__file__).resolve().parents[2]
ACTIVE = "segmenting "
"""What the node logs when it is activated."""
TIMEOUT = 60
SECONDS_OF_LOAD = 4
IMAGE_SIZE = "1280", "720"
"""Width and height of the images of the load."""
NOTES = [
    "Start: from the start of the process to the state active, with the default parameters, after a start that fills "
    f"the caches. Peak memory: resident, after {SECONDS_OF_LOAD} s of {' x '.join(IMAGE_SIZE)} at 30 images/s.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    parser.add_argument("--model", help="as the parameter of the node (default: the shipped model)")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark; a round is a start."""
    parameters = {"model": options.model} if options.model else {}
    with isolated_ros_environment() as environment:
        found = [
            start_and_load(HERE, environment, parameters) for _ in range(1 + min(benchmark_run.rounds.counted, 5))
        ][1:]
    seconds, memory = zip(*found, strict=True)
    rows = [{"model": options.model or "", "start": milliseconds(seconds), "peak_megabytes": max(memory)}]
    return Results("start", benchmark_run.conditions, {"starts": len(found)}, rows, NOTES)


def table(results: Results) -> str:
    """Format the results as Markdown."""
    lines = [
        [row["model"] or "default", spread_cell(row["start"], 0), number_cell(row["peak_megabytes"], 0)]
        for row in results.rows
    ]
    return markdown_table(["model", "start, ms", "peak memory, MB"], lines)


def start_and_load(folder: Path, environment: dict[str, str], parameters: dict[str, str]) -> tuple[float, float]:
    """Start the node of a checkout, and send it images.

    Args:
        folder: folder of the checkout.
        environment: environment with an unused ROS domain.
        parameters: parameters of the node.

    Returns:
        The seconds until it is active, and its peak memory in MB.

    Raises:
        ValueError: it does not start.
    """
    topic = "/benchmarks/start/image_raw"
    settings = {"cameras": f"[{topic}]"} | parameters
    arguments = [part for name, value in settings.items() for part in ("-p", f"{name}:={value}")]
    begin = time.perf_counter()
    with _process(folder, ["-m", "ciae_ros.node.cli.panoptic_node", "--ros-args", *arguments], environment) as node:
        assert node.stdout is not None
        while ACTIVE not in (line := node.stdout.readline()):
            if not line:
                raise ValueError(f"the node of {folder} has not started")
        seconds = time.perf_counter() - begin
        with _process(HERE, ["-m", "benchmarks.node.camera", topic, *IMAGE_SIZE], environment) as camera:
            assert camera.stdin is not None and camera.stdout is not None
            camera.stdout.readline()
            camera.stdin.write(f"30 {SECONDS_OF_LOAD}\n")
            camera.stdin.flush()
            camera.stdout.readline()
        return seconds, _peak_megabytes(node.pid)


def _peak_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


@contextmanager
def _process(folder: Path, command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
