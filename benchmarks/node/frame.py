# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`frame`: stages of a frame with the node's components, including ROS, and the light preset against ResNet-50."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from benchmarks.harness.images import read_images
from benchmarks.harness.instance_count import target_instance_count
from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.predictor import add_backend_argument, build_predictor, describe_execution
from benchmarks.harness.results import Results, markdown_table, spread_cell
from benchmarks.harness.timing import interleaved, milliseconds
from benchmarks.node.isolated_ros import isolated_ros
from ciae_ros.camera.image_conversion import convert_image
from ciae_ros.inference import Predictor
from ciae_ros.node.cameras import Camera
from ciae_ros.node.publishing.image_messages import bgr_image
from ciae_ros.node.publishing.result_publisher import ResultPublisher, SegmentedFrame
from ciae_ros.visualization import OverlayStyle

SIZES = ((512, 672), (1080, 1920))
COMPARED_SIZE = (512, 672)
COMPARED = ("light_512", "r50_512")
ROS_STAGES = ("receive + convert", "message", "publish")
"""Stages of rclpy and its messages."""
INSTANCES = (0, 20, 100)
"""Target numbers of instances in a frame; untrained weights detect none."""
NOTES = [
    "A process publishes images to itself over DDS and processes each like the node; the results have no subscriber. "
    "Light preset, untrained weights; the score threshold is lowered until the number of instances remains. "
    "Medians.",
    f"ROS in Python: {', '.join(ROS_STAGES)}; one core.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add_backend_argument(parser)
    parser.add_argument("--shares-only", action="store_true", help="skip the comparison with ResNet-50")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark; a round is a frame."""
    rows = []
    with isolated_ros():
        for size in SIZES:
            predictor = _predictor("light_512", options, size)
            images = _bgr_images(options, size)
            rows += [_shares(predictor, images, size, instances) for instances in INSTANCES]
    if not options.shares_only:
        rows += _compare(options, benchmark_run)
    parameters = {"rounds": benchmark_run.rounds.counted, "network": describe_execution(predictor)}
    return Results("frame", benchmark_run.conditions, parameters, rows, NOTES)


def _shares(predictor: Predictor, images: list[np.ndarray], size: tuple[int, int], instances: int) -> dict[str, Any]:
    predictor.settings = predictor.default_settings
    if instances:
        target_instance_count(predictor, images[0], instances)
    benchmark = FrameBenchmark(predictor)
    shares = benchmark.run(images)
    benchmark.close()
    return {"kind": "shares", "size": list(size), "instances_asked": instances} | _of(shares)


def _of(shares: FrameShares) -> dict[str, Any]:
    return {
        "instances": shares.instances,
        "segments": shares.segments,
        "stages": shares.milliseconds,
        "frame": shares.total,
        "all_but_network": 1 - shares.share("network"),
        "ros_in_python": sum(shares.milliseconds[stage] for stage in ROS_STAGES),
    }


def _compare(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> list[dict[str, Any]]:
    images = _bgr_images(options, COMPARED_SIZE)
    predictors = {name: _predictor(name, options, COMPARED_SIZE) for name in COMPARED}
    times = interleaved(
        {
            name: lambda predictor=predictor: predictor.predict_timed(images[0], "bgr")[1].network  # type: ignore[misc]
            for name, predictor in predictors.items()
        },
        benchmark_run.rounds,
    )
    rows: list[dict[str, Any]] = [
        {"kind": "network", "name": name, "size": list(COMPARED_SIZE), "network": milliseconds(values)}
        for name, values in times.items()
    ]
    reference = rows[-1]["network"]["median"]
    return [row | {"ratio": row["network"]["median"] / reference} for row in rows]


def _bgr_images(options: argparse.Namespace, size: tuple[int, int]) -> list[np.ndarray]:
    images = read_images(options.source, options.rounds, size)
    return [np.ascontiguousarray(image[..., ::-1]) for image in images]


def _predictor(preset: str, options: argparse.Namespace, size: tuple[int, int]) -> Predictor:
    predictor = build_predictor(f"untrained/{preset}", options, size)
    predictor.prepare(*size)
    return predictor


def table(results: Results) -> str:
    """Format the results as Markdown, with a column for each size and number of instances."""
    shares = [row for row in results.rows if row["kind"] == "shares"]
    header = [
        "stage, ms",
        *(f"{row['size'][0]} x {row['size'][1]}, {row['instances']:.0f} instances" for row in shares),
    ]
    lines = [
        [stage, *(f"{row['stages'][stage]:.2f} ({row['stages'][stage] / row['frame']:.1%})" for row in shares)]
        for stage in shares[0]["stages"]
    ]
    lines.append(["frame", *(f"{row['frame']:.2f}" for row in shares)])
    lines.append(["all but network", *(f"{row['all_but_network']:.1%}" for row in shares)])
    lines.append(["ROS in Python", *(f"{row['ros_in_python']:.2f}" for row in shares)])
    networks = [
        [row["name"], spread_cell(row["network"]), f"{row['ratio']:.3f}"]
        for row in results.rows
        if row["kind"] == "network"
    ]
    parts = [f"Network: {results.parameters['network']}.", markdown_table(header, lines)]
    if networks:
        parts.append(
            markdown_table(["network at {} x {}".format(*COMPARED_SIZE), "ms", f"of {COMPARED[-1]}"], networks)
        )
    return "\n\n".join(parts)


WARM_UP = 3
"""Number of uncounted frames."""


@dataclass(frozen=True)
class FrameShares:
    """Median milliseconds by stage, and mean numbers of instances and segments."""

    milliseconds: dict[str, float]
    instances: float
    segments: float

    @property
    def total(self) -> float:
        return sum(self.milliseconds.values())

    def share(self, stage: str) -> float:
        """Return the share of the frame's time, 0 to 1."""
        return self.milliseconds[stage] / self.total


class FrameBenchmark:
    """Sends images to itself like a camera and times the processing of the node."""

    def __init__(self, predictor: Predictor) -> None:
        self._node = LifecycleNode(f"benchmark_{id(self)}")
        self._predictor = predictor
        camera = Camera("image", is_compressed=False, namespace="")
        self._publisher = ResultPublisher(self._node, camera, QoSProfile(depth=2), _ignore, "16UC1")
        self._camera = self._node.create_publisher(Image, "image", QoSProfile(depth=5))
        self._node.create_subscription(Image, "image", self._receive, qos_profile_sensor_data)
        self._received: Image | None = None

    def run(self, images: list[np.ndarray]) -> FrameShares:
        """Time all images (H, W, 3) BGR once, after a warm-up."""
        times: list[dict[str, float]] = []
        instances, segments = [], []
        for pixels in images[:1] * WARM_UP + images:
            message, receive = self._through_dds(bgr_image(Header(frame_id="camera"), pixels))
            start = time.perf_counter()
            image = convert_image(message)
            converted = time.perf_counter() - start
            result, stages = self._predictor.predict_timed(image.pixels, image.channel_order)
            message_time, publish_time = self._publisher.publish(
                SegmentedFrame(message.header, image, result), self._predictor.name, None, OverlayStyle()
            )
            times.append(
                {
                    "receive + convert": receive + converted,
                    **asdict(stages),
                    "message": message_time,
                    "publish": publish_time,
                }
            )
            instances.append(sum(segment.category.is_thing for segment in result.segments))
            segments.append(len(result.segments))
        counted = times[WARM_UP:]
        medians = {stage: 1e3 * float(np.median([frame[stage] for frame in counted])) for stage in counted[0]}
        return FrameShares(medians, float(np.median(instances[WARM_UP:])), float(np.median(segments[WARM_UP:])))

    def close(self) -> None:
        """Destroy the topics."""
        self._node.destroy_node()

    def _receive(self, message: Image) -> None:
        self._received = message

    def _through_dds(self, message: Image) -> tuple[Image, float]:
        """Receive a message; returns it and the seconds for taking it out of DDS into Python."""
        self._received = None
        seconds = 0.0
        while self._received is None:
            self._camera.publish(message)
            # Waiting for the image is not work of the node: take it once it has arrived.
            time.sleep(0.05)
            start = time.perf_counter()
            rclpy.spin_once(self._node, timeout_sec=0.2)
            seconds = time.perf_counter() - start
        return self._received, seconds


def _ignore(kind: str, times: int, line: str) -> None:
    """Ignore QoS events, which cannot occur here."""
