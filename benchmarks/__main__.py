# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Run the benchmarks: see `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from benchmarks.harness import plots
from benchmarks.harness.options import add_common_arguments, complete
from benchmarks.harness.results import Results, sentence
from ciae_ros.inference.host_memory import disable_malloc_trim

COMMANDS = {
    "frame": "node.frame",
    "networks": "networks.comparison",
    "fusion": "networks.fusion_cost",
    "roofline": "roofline.roofline",
    "pipeline": "node.pipeline",
    "node": "node.load",
    "scene": "node.scene",
    "tracking": "node.tracking",
    "pacing": "node.pacing",
    "start": "node.start",
    "backends": "networks.backends",
    "checkouts": "node.checkouts",
    "profile": "networks.profiling",
    "inference": "networks.inference_times",
    "training": "networks.training_speed",
}
"""Subcommands and their modules."""
SUMMARIES = {
    "frame": "stages of a frame with the node's components, including ROS",
    "networks": "CIAE compared with Mask R-CNN and networks of transformers, on the same images in the same run",
    "fusion": "cost of fusion by instances and size, compared with other methods",
    "roofline": "time of each stage relative to the device's measured rates",
    "pipeline": "frames through the pipeline, sequentially, and in the bare network",
    "node": "the running node with 1 to 8 cameras at rates from half to twice its capacity",
    "scene": "labelled points and boxes of a frame with 20 things in 720p, on one core",
    "tracking": "identities of 10 and 50 things in 720p, on one core",
    "start": "from the start of the node's process to the state active, and its memory",
    "backends": "a network in PyTorch, ONNX Runtime and OpenVINO, on a CPU, and how far their labels are the same",
    "checkouts": "start, memory, frames and demo of this checkout and another one, such as that of an earlier commit",
    "pacing": "utilisation of a network whose batches vary in duration",
    "profile": "a trace and a table of operators, into out/profile",
    "inference": "time of a model per image of a folder, with the times of the paper's Table I",
    "training": "images per second, memory and parts of a training step, by preset",
}
ALL = ("frame", "networks", "fusion", "roofline", "pipeline", "node", "scene", "tracking", "start", "backends")


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; returns 0 if everything was measured."""
    arguments = sys.argv[1:] if arguments is None else arguments
    wanted = next((argument for argument in arguments if argument in COMMANDS), None)
    options = _parser(wanted).parse_args(arguments)
    if options.command == "all":
        return _run_all(arguments)
    try:
        if options.command == "table":
            for path in options.files:
                _print(Results.read(path))
            return 0
        _run(options, arguments)
    except ValueError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, arguments: list[str]) -> None:
    benchmark_run = complete(options, arguments)
    if benchmark_run.device.type == "cpu":
        disable_malloc_trim()
    results: Results = _module(options.command).run(options, benchmark_run)
    path = results.write(options.output)
    _print(results)
    print(f"\nwritten: {path}")
    for plot in plots.plot(results, options.plots or options.output):
        print(f"written: {plot}")


def _run_all(arguments: list[str]) -> int:
    """Run each in its own process, so that none inherits memory and warm caches of the previous one."""
    common = [argument for argument in arguments if argument != "all"]
    codes = []
    for name in ALL:
        print(f"\n# {name}", flush=True)
        command = [sys.executable, "-m", "benchmarks", name, *common]
        codes.append(subprocess.run(command, check=False).returncode)
    return int(any(codes))


def _print(results: Results) -> None:
    print(f"\n{sentence(results.conditions)}\n")
    print(_module(results.benchmark).table(results))
    print()
    print("\n".join(f"- {note}" for note in results.notes))


def _module(command: str) -> ModuleType:
    return import_module(f"benchmarks.{COMMANDS[command]}")


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """Parse the options of the subcommand; only its module is imported, because some need ROS."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure CIAE by stage and compared with other networks, with random weights on real images.",
        epilog="example: python -m benchmarks networks --device cuda --source drive.mp4",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in SUMMARIES.items():
        command = commands.add_parser(name, help=summary, description=summary)
        add_common_arguments(command)
        if name == wanted:
            _module(name).add_arguments(command)
    add_common_arguments(commands.add_parser("all", help=f"all of {', '.join(ALL)}"))
    table = commands.add_parser("table", help="print results again, in Markdown")
    table.add_argument("files", type=Path, nargs="+", help="JSON files written by the other subcommands")
    return parser


if __name__ == "__main__":
    sys.exit(main())
