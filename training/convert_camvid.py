# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Convert CamVid to COCO's panoptic format: see `python -m training.convert_camvid --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ciae_ros.core.command_errors import report_failure
from training.data.camvid import MIN_AREA, convert
from training.data.sample import DataError


def main(argv: list[str] | None = None) -> int:
    """Convert the data set; returns 0 if all splits were written."""
    arguments = _parse_arguments(argv)
    try:
        convert(arguments.source, arguments.target, arguments.min_area)
    except (DataError, OSError) as error:
        return report_failure("convert_camvid", error)
    return 0


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.convert_camvid",
        description="Convert CamVid with 11 classes to COCO's panoptic format.",
        epilog="example: python -m training.convert_camvid ~/CamVid data/camvid "
        "&& python -m training.check_data data/camvid/annotations/panoptic_train.json",
    )
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="folder with train, trainannot, val, valannot, test and testannot"
    )
    parser.add_argument(
        "target", type=Path, metavar="TARGET", help="output folder for annotations, train, val, test and trainval"
    )
    parser.add_argument(
        "--min-area",
        type=int,
        default=MIN_AREA,
        metavar="N",
        help="regions of a thing class with fewer pixels become void (default: %(default)s)",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
