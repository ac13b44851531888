# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Map the categories of a data set to others: see `python -m training.map_categories --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ciae_ros.core.command_errors import report_failure
from ciae_ros.inference.category_map import CategoryMap
from training.labeling.mapped_data import map_data_set


def main(argv: list[str] | None = None) -> int:
    """Write the data set; returns 0 if it was written."""
    arguments = _parse_arguments(argv)
    try:
        map_data_set(arguments.source, arguments.target, CategoryMap.load(arguments.map))
    except (ValueError, OSError) as error:
        return report_failure("map_categories", error)
    return 0


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.map_categories",
        description="Write the annotations of a data set in COCO's panoptic format with other categories, for training "
        "or as ground truth. What the map does not name becomes void.",
        epilog="example: python -m training.map_categories coco/annotations/panoptic_val2017.json "
        "out/panoptic_val2017.json --map config/label_maps/road_scenes.yaml",
    )
    parser.add_argument("source", type=Path, metavar="SOURCE.json", help="JSON file, with its PNGs next to it")
    parser.add_argument("target", type=Path, metavar="TARGET.json", help="JSON file to write")
    parser.add_argument("--map", type=Path, required=True, metavar="MAP.yaml", help="map of the categories")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
