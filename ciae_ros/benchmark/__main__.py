# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Run the benchmarks: see `python -m ciae_ros.benchmark --help`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ciae_ros.benchmark import plots
from ciae_ros.benchmark.options import add_common_arguments, complete
from ciae_ros.benchmark.results import Results, sentence
from ciae_ros.inference.host_memory import disable_malloc_trim

COMMANDS = {
    "frame": "frame_command",
    "networks": "networks",
    "fusion": "fusion",
    "roofline": "roofline",
    "pipeline": "pipeline",
    "node": "node_load",
    "pacing": "pacing",
    "profile": "profiling",
    "training": "training_speed",
}
"""Subcommands and their modules."""
SUMMARIES = {
    "frame": "where a frame's time goes in the node's parts, ROS included",
    "networks": "CIAE beside Mask R-CNN, Mask2Former and EoMT, on the same images in the same run",
    "fusion": "what fusion costs by instances and size, and beside other ways of fusion",
    "roofline": "each stage's time against what the device's measured rates allow",
    "pipeline": "frames through the pipeline, one after the other, and the bare network",
    "node": "the running node with 1 to 8 cameras at rates from half to twice what it can do",
    "pacing": "how busy the node keeps a network whose batches take now short and now long",
    "profile": "a trace and a table of operators, into out/profile",
    "training": "images a second, memory and shares of a training step, by preset",
}
ALL = ("frame", "networks", "fusion", "roofline", "pipeline", "node")


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; 0 if all has been measured."""
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
    run_of = complete(options, arguments)
    if run_of.device.type == "cpu":
        disable_malloc_trim()
    results: Results = _module(options.command).run(options, run_of)
    path = results.write(options.output)
    _print(results)
    print(f"\nwritten: {path}")
    for plot in plots.plot(results, options.plots or options.output):
        print(f"written: {plot}")


def _run_all(arguments: list[str]) -> int:
    """Each in a process of its own: none inherits the memory and the warm caches of the one before."""
    common = [argument for argument in arguments if argument != "all"]
    codes = []
    for name in ALL:
        print(f"\n# {name}", flush=True)
        command = [sys.executable, "-m", "ciae_ros.benchmark", name, *common]
        codes.append(subprocess.run(command, check=False).returncode)
    return int(any(codes))


def _print(results: Results) -> None:
    print(f"\n{sentence(results.conditions)}\n")
    print(_module(results.benchmark).table(results))
    print()
    print("\n".join(f"- {note}" for note in results.notes))


def _module(command: str) -> ModuleType:
    return import_module(f"ciae_ros.benchmark.{COMMANDS[command]}")


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """With the options of the subcommand that is wanted: only it is imported, as `frame` needs ROS."""
    parser = argparse.ArgumentParser(
        prog="python -m ciae_ros.benchmark",
        description="Measure CIAE, stage by stage and beside other networks, with random weights on real images.",
        epilog="example: python -m ciae_ros.benchmark networks --device cuda --source drive.mp4",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in SUMMARIES.items():
        command = commands.add_parser(name, help=summary, description=summary)
        add_common_arguments(command)
        if name == wanted:
            _module(name).add_arguments(command)
    add_common_arguments(commands.add_parser("all", help=f"{', '.join(ALL)}, one after the other"))
    table = commands.add_parser("table", help="print results again, in Markdown")
    table.add_argument("files", type=Path, nargs="+", help="JSON files that the others have written")
    return parser


if __name__ == "__main__":
    sys.exit(main())
