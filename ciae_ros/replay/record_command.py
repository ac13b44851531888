# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""`record-results`: a bag with what the network finds in it."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciae_ros.images.camera_image import CameraImage
from ciae_ros.inference import PanopticResult
from ciae_ros.replay.bags.record_results import record_results
from ciae_ros.replay.model_arguments import add_model_arguments, model_options
from ciae_ros.replay.reporting import say

SUMMARY = "write a bag again with the panoptic topics added, for RViz and Foxglove"
EXAMPLE = "python -m ciae_ros.replay record-results drive.mcap drive_panoptic.mcap"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="rosbag2 folder, or .mcap or .db3 file")
    parser.add_argument("output", type=Path, metavar="OUT.mcap", help="file to write")
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="of images (default: all a camera may have sent)")
    add_model_arguments(parser)


def run(options: argparse.Namespace, command: str) -> int:
    """Segment and write; 0, or 1 if something could not be read or written."""
    predictor = model_options(options).build()

    def segment(image: CameraImage) -> PanopticResult:
        return predictor.predict(image.pixels, image.channel_order)

    problems = record_results(options.bag, options.output, segment, predictor.name, options.topics)
    print(f"written: {options.output}")
    return say(problems)
