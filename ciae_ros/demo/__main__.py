# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Run the demo: see `python -m ciae_ros.demo --help`."""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
from pathlib import Path

from ciae_ros.camera.frames import ImageSource, SourceError
from ciae_ros.camera.image_source import open_source
from ciae_ros.core.command_errors import report_failure
from ciae_ros.core.processes import isolated_ros_environment, start_module, stop
from ciae_ros.core.text_file import read_text
from ciae_ros.demo.clip import find_demo_clip
from ciae_ros.demo.recorder import READY
from ciae_ros.inference import DEFAULT_MODEL


def main() -> int:
    """Play, segment and record; returns 0 if a video was written."""
    arguments = _parse_arguments()
    try:
        source = arguments.source or find_demo_clip()
        opened = open_source(source, lambda _: None)  # The player reports.
    except SourceError as error:
        return report_failure("demo", error)
    folder = Path(arguments.output)
    print(f"playing {source} ({opened.rate:.3g} images/s) through panoptic_node; it stops at the end", flush=True)
    try:
        code = _run(arguments, source, opened, folder)
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    if code == 0:
        _print_summary(folder)
    return code


def _run(arguments: argparse.Namespace, source: str, opened: ImageSource, folder: Path) -> int:
    rate = arguments.rate or opened.rate
    with isolated_ros_environment() as environment:
        processes = [
            start_module(
                "ciae_ros.node.cli.panoptic_node", {"model": arguments.model, "device": arguments.device}, environment
            ),
            start_module(
                "ciae_ros.demo.recorder",
                {
                    "output": str(folder),
                    "video_rate": float(rate),
                    "expected_frames": opened.length,
                    "model": arguments.model,
                },
                environment,
                capture=True,
            ),
        ]
        try:
            if not _wait_until_ready(*processes):
                print("demo: the node did not start; its message is above", file=sys.stderr)
                return 1
            # The node and the recorder subscribe.
            playing = {"source": source, "rate": float(arguments.rate), "wait_for_subscribers": 2}
            processes.append(start_module("ciae_ros.node.cli.image_player", playing, environment))
            return _wait_for_end(*processes)
        finally:
            for process in processes:
                stop(process)


def _wait_until_ready(node: subprocess.Popen[str], recorder: subprocess.Popen[str]) -> bool:
    """Wait until the recorder has subscribed to the node's topics; returns False if either has ended."""
    assert recorder.stdout is not None
    while node.poll() is None and recorder.poll() is None:
        readable, _, _ = select.select([recorder.stdout], [], [], 0.2)
        if readable:
            return recorder.stdout.readline().strip() == READY
    return False


def _wait_for_end(node: subprocess.Popen[str], recorder: subprocess.Popen[str], player: subprocess.Popen[str]) -> int:
    """Return 0 when the recorder has written its files, 1 if the node or the player failed before."""
    while True:
        try:
            return recorder.wait(0.5)
        except subprocess.TimeoutExpired:
            if node.poll() is not None or player.poll():
                print("demo: the node or the player has failed; its message is above", file=sys.stderr)
                return 1


def _print_summary(folder: Path) -> None:
    summary = json.loads(read_text(folder / "summary.json"))
    print(json.dumps(summary, indent=2))
    for name, what in (
        ("overlay.mp4", "the segmented clip"),
        ("contact_sheet.png", "nine of its frames"),
        ("picture.png", "a frame, its panoptic map and, if the model is CIAE, the embedding of its pixels"),
        ("summary.json", "the summary above"),
        ("run/report.html", "the report of this run, frame by frame; open it in a browser"),
    ):
        print(f"wrote {folder / name}: {what}")
    print(
        "to view it live: ros2 launch ciae_ros demo.launch.py source:=VIDEO, then add /panoptic_node/overlay as an\n"
        "Image in rviz2, open it in rqt_image_view, or run foxglove_bridge and open an Image panel in Foxglove"
    )


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ciae_ros.demo",
        description="Segment a video through ROS 2 and write a video, a contact sheet, a summary and a report.",
        epilog="example: python -m ciae_ros.demo --source drive.mp4 --rate 10 --output out/drive",
    )
    parser.add_argument("--source", help="video, image, folder of images or /dev/videoN (default: a street clip)")
    parser.add_argument("--rate", type=float, default=0.0, help="images per second (default: that of the source)")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"model, as the node takes it (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--output", default="out/demo", help="output folder (default: out/demo)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
