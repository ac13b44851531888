# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`report`: write the report of a finished run again."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciae_ros.replay.cli.evaluate import add_requirements
from ciae_ros.replay.cli.output import report_and_check
from ciae_ros.replay.evaluation.run_folder import read_run

SUMMARY = "write the report of a finished run again and check requirements"
EXAMPLE = 'python -m ciae_ros.replay report out/drive --require "pq>=40"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    add_requirements(parser)


def run(options: argparse.Namespace, command: str) -> int:
    """Write the report; returns 0, 1 if something could not be read, 3 if a requirement is not met."""
    return report_and_check(read_run(options.run), options.require)
