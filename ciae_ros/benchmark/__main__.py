"""Run the benchmark: see `python -m ciae_ros.benchmark --help`."""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import sys
from importlib import metadata

import cv2
import numpy as np
import rclpy
import torch

from ciae_ros.benchmark.frame import FrameBenchmark, FrameShares, with_many_instances
from ciae_ros.demo.processes import isolated_ros_environment
from ciae_ros.demo.source import find_demo_clip
from ciae_ros.inference import Predictor, coco_categories, untrained_checkpoint
from ciae_ros.inference.host_memory import keep_freed_memory
from ciae_ros.model import PRESETS
from ciae_ros.node.image_player import SourceError, open_source

SIZES = {"512 x 672": (512, 672), "1080 x 1920": (1080, 1920)}
COMPARED_SIZE = (512, 672)
ROS_STAGES = ("receive + convert", "message", "publish")
"""What rclpy and its messages cost."""
INSTANCES = (0, 20, 100)
"""At least so many in a frame; untrained weights detect none by themselves."""


def main() -> int:
    """Print the tables."""
    arguments = _parse_arguments()
    try:
        frames = list(itertools.islice(open_source(arguments.source or find_demo_clip()).frames, arguments.frames))
    except SourceError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    if arguments.device == "cpu":
        keep_freed_memory()
    print(_describe_machine(arguments.device))
    with isolated_ros_environment() as environment:
        os.environ.update(environment)
        rclpy.init()
        _print_shares(frames, arguments.device)
        rclpy.try_shutdown()
    if not arguments.shares_only:
        _print_comparison(frames, arguments.device)
    return 0


def _print_shares(frames: list[np.ndarray], device: str) -> None:
    print("\nwhere a frame's time goes, light_512, untrained weights, medians; a share is of the whole frame")
    predictor = _predictor("light_512", device)
    default = predictor.settings
    for name, (height, width) in SIZES.items():
        images = [cv2.resize(frame, (width, height)) for frame in frames]
        for instances in INSTANCES:
            predictor.settings = default
            if instances:
                with_many_instances(predictor, images, instances)
            benchmark = FrameBenchmark(predictor)
            _print_table(f"camera {name}", benchmark.run(images))
            benchmark.close()


def _print_table(title: str, shares: FrameShares) -> None:
    print(f"\n{title}: {shares.instances:.0f} instances, {shares.segments:.0f} segments (medians)")
    for stage, milliseconds in shares.milliseconds.items():
        print(f"  {stage:18} {milliseconds:8.2f} ms {shares.share(stage):7.1%}")
    print(f"  {'frame':18} {shares.total:8.2f} ms")
    print(f"  {'all but network':18} {'':11} {1 - shares.share('network'):7.1%}")
    ros = sum(shares.milliseconds[stage] for stage in ROS_STAGES)
    print(f"  {'ROS in Python':18} {ros:8.2f} ms  ({', '.join(ROS_STAGES)}: one core)")


def _print_comparison(frames: list[np.ndarray], device: str) -> None:
    height, width = COMPARED_SIZE
    images = [cv2.resize(frame, (width, height)) for frame in frames]
    light, r50 = _predictor("light_512", device), _predictor("r50_512", device)
    times: dict[str, list[float]] = {"light_512": [], "r50_512": []}
    for image in images[:1] + images:
        for name, predictor in (("light_512", light), ("r50_512", r50)):
            times[name].append(1e3 * predictor.predict_timed(image, "bgr")[1].network)
    medians = {name: float(np.median(values[1:])) for name, values in times.items()}
    print(f"\nnetworks at {height} x {width}, in turns, medians")
    for name, median in medians.items():
        print(f"  {name:18} {median:8.1f} ms  {median / medians['r50_512']:7.3f} of r50_512")


def _predictor(preset: str, device: str) -> Predictor:
    torch.manual_seed(0)
    checkpoint = untrained_checkpoint(preset, PRESETS[preset], coco_categories())
    return Predictor(checkpoint, device, "fp16" if device.startswith("cuda") else "fp32")


def _describe_machine(device: str) -> str:
    name = (
        torch.cuda.get_device_name(device) if device.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"
    )
    return f"{name}; {platform.machine()}; torch {metadata.version('torch')}"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ciae_ros.benchmark",
        description="Time each stage of a frame, and the light preset against ResNet-50, on real images.",
        epilog="example: python -m ciae_ros.benchmark --device cuda --source drive.mp4",
    )
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default, help=f"cpu, cuda or cuda:N (here: {default})")
    parser.add_argument("--source", help="video file or folder of images (default: the demo's street clip)")
    parser.add_argument("--frames", type=int, default=20, help="images that are timed (default: 20)")
    parser.add_argument("--shares-only", action="store_true", help="leave out the comparison with ResNet-50")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
