# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Run the benchmarks: see `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import util
from pathlib import Path

from benchmarks.harness.commands import COMMANDS, benchmark_module
from benchmarks.harness.options import add_common_arguments, complete
from benchmarks.harness.results import Results, sentence
from ciae_ros.core.command_errors import report_failure
from ciae_ros.inference.host_memory import disable_malloc_trim
from ciae_ros.inference.loading.errors import CheckpointError

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
        return _run(options, arguments)
    except (CheckpointError, ValueError) as error:
        return report_failure("benchmark", error)


def _run(options: argparse.Namespace, arguments: list[str]) -> int:
    benchmark_run = complete(options, arguments)
    if benchmark_run.device.type == "cpu":
        disable_malloc_trim()
    results: Results = benchmark_module(options.command).run(options, benchmark_run)
    path = results.write(options.output)
    _print(results)
    print(f"\nwritten: {path}")
    _plot(results, options.plots or options.output)
    found = getattr(benchmark_module(options.command), "exit_code", None)
    return int(found(results)) if found else 0


def _plot(results: Results, folder: Path) -> None:
    if util.find_spec("matplotlib") is None:
        print("no plots: Matplotlib is not installed")
        return
    from benchmarks.harness import plots  # noqa: PLC0415 (it needs Matplotlib)

    for plot in plots.plot(results, folder):
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
    print(benchmark_module(results.benchmark).table(results))
    print()
    print("\n".join(f"- {note}" for note in results.notes))


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """Parse the options of the subcommand; only its module is imported, because some need ROS."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure CIAE by stage and compared with other networks, with random weights on real images.",
        epilog="example: python -m benchmarks networks --device cuda --source drive.mp4",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        add_common_arguments(command)
        if name == wanted:
            benchmark_module(name).add_arguments(command)
    add_common_arguments(commands.add_parser("all", help=f"all of {', '.join(ALL)}"))
    table = commands.add_parser("table", help="print results again, in Markdown")
    table.add_argument("files", type=Path, nargs="+", help="JSON files written by the other subcommands")
    return parser


if __name__ == "__main__":
    sys.exit(main())
