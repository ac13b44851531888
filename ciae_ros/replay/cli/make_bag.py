# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`make-bag`: make a bag from a video or a folder of images, with ground truth if available."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciae_ros.replay.bags.image_bag import make_bag

SUMMARY = "make a bag from a video or a folder of images"
EXAMPLE = "python -m ciae_ros.replay make-bag val/ drive --rate 15 --truth annotations/panoptic_val.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="video, image, or folder of images, sorted by name")
    add("output", type=Path, metavar="BAG", help="folder to write")
    add("--rate", type=float, help="images per second (default: the timestamps of a video, 10 for a folder)")
    add("--storage", choices=("mcap", "sqlite3"), default="mcap", help="default: mcap")
    add("--jpeg", action="store_true", help="CompressedImage instead of Image")
    add(
        "--truth",
        type=Path,
        metavar="JSON",
        help="COCO panoptic ground truth, matched by file name",
    )


def run(options: argparse.Namespace, command: str) -> int:
    """Write the bag; returns 0."""
    truth = make_bag(options.source, options.output, options.rate, options.storage, options.jpeg, options.truth)
    print(f"written: {options.output}")
    if truth is not None:
        print(f"ground truth: {truth}")
    return 0
