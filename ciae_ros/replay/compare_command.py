# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`compare`: two runs of the same bags, side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciae_ros.replay.report import write_comparison
from ciae_ros.replay.reporting import pictures_of
from ciae_ros.replay.run_folder import read_run

SUMMARY = "compare two runs of the same bags, and write a page about it"
EXAMPLE = "python -m ciae_ros.replay compare out/model_a out/model_b --output out/comparison"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    parser.add_argument("first", type=Path, metavar="A", help="folder of a run")
    parser.add_argument("second", type=Path, metavar="B", help="folder of another one")
    parser.add_argument(
        "--output", type=Path, default=Path("out/comparison"), help="folder for the page (default: %(default)s)"
    )


def run(options: argparse.Namespace, command: str) -> int:
    """Write the page; 0."""
    first, second = read_run(options.first), read_run(options.second)
    options.output.mkdir(parents=True, exist_ok=True)
    print(f"report: {write_comparison(first, second, options.output, pictures_of(first), pictures_of(second))}")
    return 0
