# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Add a background category to a data set of things: see `python -m training.add_background --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ciae_ros.core.command_errors import report_failure
from training.data.background import add_background
from training.data.sample import DataError


def main(argv: list[str] | None = None) -> int:
    """Write the data set; returns 0 if it was written."""
    arguments = _parse_arguments(argv)
    try:
        add_background(arguments.source, arguments.target, arguments.name)
    except (DataError, OSError) as error:
        return report_failure("add_background", error)
    return 0


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.add_background",
        description="Write a copy of a data set in COCO's panoptic format, in which the pixels without a segment are "
        "segments of a stuff category. A data set of things only needs it for training.",
        epilog="example: python -m training.add_background annotations/panoptic_train.json "
        "annotations/panoptic_train_background.json",
    )
    parser.add_argument("source", type=Path, metavar="SOURCE.json", help="JSON file, with its PNGs next to it")
    parser.add_argument("target", type=Path, metavar="TARGET.json", help="JSON file to write")
    parser.add_argument("--name", default="background", help="name of the category (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
