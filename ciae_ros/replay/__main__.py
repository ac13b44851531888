# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Evaluate recorded bags: see `python -m ciae_ros.replay --help`."""

from __future__ import annotations

import argparse
import shlex
import sys
from importlib import import_module
from types import ModuleType

from ciae_ros.inference import CheckpointError
from ciae_ros.replay.types import ReplayError

COMMANDS = {
    "evaluate": "evaluate_command",
    "node": "node_command",
    "compare": "compare_command",
    "report": "report_command",
    "record-results": "record_command",
    "make-bag": "make_bag_command",
}
"""Subcommands and their modules."""

EXPECTED = (ReplayError, CheckpointError, ValueError, OSError)
"""Say in one line what was wrong."""

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand.

    Returns:
        0; 1 if something could not be read, found or written, which is said in one line for each thing; 2 for arguments
        that make no sense; 3 if what is required does not hold; 130 after an interruption.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--ros-args" in arguments:  # ros2 launch puts them behind the others.
        arguments = arguments[: arguments.index("--ros-args")]
    options = _parser().parse_args(arguments)
    command = _module(options.command)
    try:
        return int(command.run(options, shlex.join(["python", "-m", "ciae_ros.replay", *arguments])))
    except KeyboardInterrupt:
        print("replay: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return INTERRUPTED
    except EXPECTED as error:
        print(f"replay: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ciae_ros.replay",
        description="How good is a model on recorded drives, how fast on this computer, and where does it fail.",
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
    return import_module(f"ciae_ros.replay.{COMMANDS[command]}")


if __name__ == "__main__":
    sys.exit(main())
