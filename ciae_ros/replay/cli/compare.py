# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`compare`: compare two runs of the same bags."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciae_ros.replay.cli.output import frame_images_of
from ciae_ros.replay.evaluation.run_folder import read_run
from ciae_ros.replay.report import write_comparison

SUMMARY = "compare two runs of the same bags and write a page"
EXAMPLE = "python -m ciae_ros.replay compare out/model_a out/model_b --output out/comparison"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument("first", type=Path, metavar="A", help="folder of a run")
    parser.add_argument("second", type=Path, metavar="B", help="folder of the run to compare")
    parser.add_argument(
        "--output", type=Path, default=Path("out/comparison"), help="folder for the page (default: %(default)s)"
    )


def run(options: argparse.Namespace, command: str) -> int:
    """Write the page; returns 0."""
    first, second = read_run(options.first), read_run(options.second)
    options.output.mkdir(parents=True, exist_ok=True)
    print(f"report: {write_comparison(first, second, options.output, frame_images_of(first), frame_images_of(second))}")
    return 0
