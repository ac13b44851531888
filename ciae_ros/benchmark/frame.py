# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""One frame's way through the node's parts, stage by stage, in one process that publishes to itself over DDS."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np
import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ciae_ros.camera.image_conversion import convert_image
from ciae_ros.inference import Predictor
from ciae_ros.node.cameras import Camera
from ciae_ros.node.image_messages import bgr_image
from ciae_ros.node.result_publisher import ResultPublisher, SegmentedFrame
from ciae_ros.visualization import OverlayStyle

WARM_UP = 3
"""Frames that are not counted."""


@dataclass(frozen=True)
class FrameShares:
    """Median milliseconds by stage, and how many instances and segments the frames had."""

    milliseconds: dict[str, float]
    instances: float
    segments: float

    @property
    def total(self) -> float:
        return sum(self.milliseconds.values())

    def share(self, stage: str) -> float:
        """Of the frame's time, 0 to 1."""
        return self.milliseconds[stage] / self.total


class FrameBenchmark:
    """Sends images to itself as a camera would and times what the node would do with each."""

    def __init__(self, predictor: Predictor) -> None:
        self._node = LifecycleNode(f"benchmark_{id(self)}")
        self._predictor = predictor
        camera = Camera("image", is_compressed=False, namespace="")
        self._publisher = ResultPublisher(self._node, camera, QoSProfile(depth=2), report=_ignore)
        self._camera = self._node.create_publisher(Image, "image", QoSProfile(depth=5))
        self._node.create_subscription(Image, "image", self._receive, qos_profile_sensor_data)
        self._received: Image | None = None

    def run(self, images: list[np.ndarray]) -> FrameShares:
        """Time all images (H, W, 3) BGR once, after some for warming up."""
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
        """Remove the topics."""
        self._node.destroy_node()

    def _receive(self, message: Image) -> None:
        self._received = message

    def _through_dds(self, message: Image) -> tuple[Image, float]:
        """The message as it is received, and the seconds that taking it out of DDS into Python took."""
        self._received = None
        seconds = 0.0
        while self._received is None:
            self._camera.publish(message)
            # The wait for the image to arrive is not the node's work: take it when it is surely there.
            time.sleep(0.05)
            start = time.perf_counter()
            rclpy.spin_once(self._node, timeout_sec=0.2)
            seconds = time.perf_counter() - start
        return self._received, seconds


def _ignore(kind: str, times: int, line: str) -> None:
    """Nobody asks for more here than is offered."""
