# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`report`: the report of a run that has been made, once more."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciae_ros.replay.evaluate_command import add_requirements
from ciae_ros.replay.reporting import report_and_judge
from ciae_ros.replay.run_folder import read_run

SUMMARY = "write the report of a finished run again, and check what is required"
EXAMPLE = 'python -m ciae_ros.replay report out/drive --require "pq>=40"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    add_requirements(parser)


def run(options: argparse.Namespace, command: str) -> int:
    """Write the report; 0, 1 if something of the run could not be read, 3 if a requirement does not hold."""
    return report_and_judge(read_run(options.run), options.require)
