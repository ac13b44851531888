# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Convert semantic annotations to COCO's panoptic format: see `python -m training.convert_semantic --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ciae_ros.core.command_errors import report_failure
from ciae_ros.core.text_file import read_text
from training.data.camvid import MIN_AREA
from training.data.sample import DataError
from training.data.semantic import SemanticClasses, convert


def main(argv: list[str] | None = None) -> int:
    """Convert the data set; returns 0 if it was written."""
    options = _parse(argv)
    try:
        only = _names([options.only]) if options.only else None
        classes = SemanticClasses.load(options.classes)
        convert(
            options.images,
            options.annotations,
            options.target,
            classes,
            only,
            _names(options.without),
            options.min_area,
        )
    except (DataError, OSError, UnicodeDecodeError) as error:
        return report_failure("convert_semantic", error)
    print(f"written: {options.target}")
    return 0


def _names(lists: list[Path]) -> list[str]:
    return [name for path in lists for name in read_text(path).split()]


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.convert_semantic",
        description="Convert images and PNGs with their classes to COCO's panoptic format.",
        epilog="example: python -m training.convert_semantic idd/val idd/valannot "
        "out/idd/annotations/panoptic_val.json --classes config/data_sets/idd_lite.yaml",
    )
    add = parser.add_argument
    add("images", type=Path, metavar="IMAGES", help="folder of images")
    add("annotations", type=Path, metavar="ANNOTATIONS", help="folder of PNGs with the names of the images")
    add("target", type=Path, metavar="TARGET.json", help="file to write; images are copied to ../X for panoptic_X.json")
    add("--classes", type=Path, required=True, metavar="CLASSES.yaml", help="values or colours of the classes")
    add("--only", type=Path, metavar="LIST", help="text file with the names, without suffix, of the images to convert")
    add("--without", type=Path, nargs="+", default=[], metavar="LIST", help="text files with names to leave out")
    add(
        "--min-area",
        type=int,
        default=MIN_AREA,
        metavar="N",
        help="connected regions of a thing class with fewer pixels become void (default: %(default)s)",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
