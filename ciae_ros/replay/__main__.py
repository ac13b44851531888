# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluate models on recorded bags; see `python -m ciae_ros.replay --help`."""

from __future__ import annotations

import argparse
import shlex
import sys
from importlib import import_module
from types import ModuleType

from ciae_ros.core.command_errors import report_failure
from ciae_ros.inference import CheckpointError
from ciae_ros.replay.bags.types import ReplayError

COMMANDS = ("evaluate", "node", "compare", "report", "record-results", "make-bag")
"""Subcommands; each is a module of `ciae_ros.replay.cli`."""

EXPECTED = (ReplayError, CheckpointError, ValueError, OSError)
"""Errors that are reported in one line."""

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand.

    Returns:
        0; 1 if something could not be read, found or written, with one line for each problem; 2 for invalid arguments;
        3 if a requirement is not met; 130 after an interruption.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--ros-args" in arguments:  # ros2 launch appends them.
        arguments = arguments[: arguments.index("--ros-args")]
    options = _parser().parse_args(arguments)
    command = _module(options.command)
    try:
        return int(command.run(options, shlex.join(["python", "-m", "ciae_ros.replay", *arguments])))
    except KeyboardInterrupt:
        print("replay: interrupted; the same command resumes the run", file=sys.stderr)
        return INTERRUPTED
    except EXPECTED as error:
        return report_failure("replay", error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ciae_ros.replay",
        description="Evaluate how good a model is on recorded sequences, how fast it is, and where it fails.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        module = _module(name)
        command = commands.add_parser(
            name, help=module.SUMMARY, description=module.SUMMARY, epilog=f"example: {module.EXAMPLE}"
        )
        module.add_arguments(command)
    return parser


def _module(command: str) -> ModuleType:
    return import_module(f"ciae_ros.replay.cli.{command.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(main())
