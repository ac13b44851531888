# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`record-results`: add the panoptic results to a bag."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciae_ros.camera.camera_image import CameraImage
from ciae_ros.inference import PanopticResult
from ciae_ros.replay.bags.result_recording import record_results
from ciae_ros.replay.cli.model_arguments import add_model_arguments, model_options
from ciae_ros.replay.cli.output import print_notes, print_problems

SUMMARY = "copy a bag with the panoptic topics added, for RViz and Foxglove"
EXAMPLE = "python -m ciae_ros.replay record-results drive.mcap drive_panoptic.mcap"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="rosbag2 folder, or .mcap or .db3 file")
    parser.add_argument("output", type=Path, metavar="OUT.mcap", help="file to write")
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="image topics (default: all of cameras)")
    add_model_arguments(parser)


def run(options: argparse.Namespace, command: str) -> int:
    """Segment and write; returns 0, or 1 if something could not be read or written."""
    predictor = model_options(options).build()

    def segment(image: CameraImage) -> PanopticResult:
        return predictor.predict(image.pixels, image.channel_order)

    report = record_results(options.bag, options.output, segment, predictor.name, options.topics)
    print(f"written: {options.output}")
    print_notes(report.notes)
    return print_problems(report.problems)
