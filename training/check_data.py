# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Find faults in a data set in COCO's panoptic format: see `python -m training.check_data --help`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tqdm import tqdm

from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of, read_content
from ciae_ros.core.command_errors import report_failure
from training.data.checks import check_images, file_faults, summary


def main(argv: list[str] | None = None) -> int:
    """Check the data set; returns 0 if it has no faults."""
    arguments = _parse_arguments(argv)
    path = arguments.annotations
    try:
        content = read_content(path)
        annotations = PanopticAnnotations.load(path)
    except (OSError, ValueError) as error:
        return report_failure("check_data", error)
    image_folder = arguments.images or image_folder_of(path)
    faults = list(file_faults(content, path))
    for fault in faults:
        print(fault)
    num_faults, reports = len(faults), []
    for report in check_images(annotations, image_folder, arguments.workers):
        for fault in report.faults:
            tqdm.write(fault)
        num_faults += len(report.faults)
        reports.append(report)
    print("\n".join(summary(reports, annotations.categories)))
    if any(ours != theirs for theirs, ours in annotations.category_ids.items()):
        print("the network and the node number the categories from 1, because not all ids are in 1..65535\n")
    print(f"{path}: {num_faults or 'no'} {'fault' if num_faults == 1 else 'faults'}")
    return 1 if num_faults else 0


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.check_data",
        description="Find faults in a data set in COCO's panoptic format; the exit code is 1 if there are any.",
        epilog="example: python -m training.check_data coco/annotations/panoptic_val2017.json --images coco/val2017",
    )
    parser.add_argument(
        "annotations",
        type=Path,
        metavar="ANNOTATIONS.json",
        help="JSON file; the PNGs are in the folder of the same name next to it",
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the images (default: X for annotations/panoptic_X.json)"
    )
    workers = min(4, os.cpu_count() or 1)
    parser.add_argument(
        "--workers", type=int, default=workers, metavar="N", help="threads that read images (default: %(default)s)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
