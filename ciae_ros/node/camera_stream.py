# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""One camera's way into the node and out of it, and what is known about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ciae_ros.camera.camera_topics import COMPRESSED_SUFFIX, info_topic_beside
from ciae_ros.node.cameras import Camera
from ciae_ros.node.frame_statistics import CLOCK_JUMP, OVER_RATE, STOPPED, SUPERSEDED, FrameStatistics
from ciae_ros.node.parameters import NodeParameters
from ciae_ros.node.qos import input_events, input_qos, output_qos
from ciae_ros.node.rate_limiter import RateLimiter
from ciae_ros.node.result_publisher import ResultPublisher, SegmentedFrame

LINE_PERIOD = 30.0
"""Seconds for which a line about a topic's quality of service is not repeated."""


@dataclass(frozen=True)
class Frame:
    """A camera's message that waits for its turn."""

    message: Image | CompressedImage
    arrival: float
    """time.perf_counter() when it was received."""


Put = Callable[[str, Frame], "Frame | None"]
"""Takes a camera's name and its newest frame; returns the frame that nobody will take."""


class CameraStream:
    """A camera's subscription, output topics and statistics."""

    def __init__(self, node: Node, camera: Camera, parameters: NodeParameters) -> None:
        """Create the output topics."""
        self.camera = camera
        self.statistics = FrameStatistics()
        self.calibration: CameraInfo | None = None
        self.last: tuple[Frame, SegmentedFrame] | None = None
        """The last segmented frame; held for bug reports until the camera is left."""
        self._node = node
        self._parameters = parameters
        self._limiter = RateLimiter()
        self._subscriptions: list[Subscription] = []
        self._said: dict[str, float] = {}
        self.publisher = ResultPublisher(node, camera, output_qos(parameters), self._report)

    @property
    def topic(self) -> str:
        """Full name of the image topic, with remappings."""
        return self._node.resolve_topic_name(self.camera.topic)

    @property
    def info_topic(self) -> str:
        """Topic of the camera's CameraInfo: where it is remapped to, else beside the images, wherever those are."""
        by_parameter = self.camera.info_topic
        resolve = self._node.resolve_topic_name
        is_remapped = resolve(by_parameter) != resolve(by_parameter, only_expand=True)
        return by_parameter if is_remapped else info_topic_beside(self.topic)

    @property
    def is_compressed(self) -> bool:
        """The images are sensor_msgs/CompressedImage, which a remapped topic says too."""
        return self.camera.is_compressed or self.topic.endswith(COMPRESSED_SUFFIX)

    def subscribe(self, put: Put, max_rate: Callable[[], float]) -> None:
        """Listen to the camera.

        Args:
            put: is given every image that the rate admits.
            max_rate: images per second, asked for every image.
        """

        def receive(message: Image | CompressedImage) -> None:
            self.statistics.count_received()
            now = self._node.get_clock().now().nanoseconds * 1e-9
            if not self._limiter.admits(now, max_rate()):
                self.statistics.count_dropped(OVER_RATE)
                return
            frame = Frame(message, time.perf_counter())
            dropped = put(self.camera.name, frame)
            if dropped is not None:
                # Nobody takes the new one: the node has been deactivated meanwhile.
                self.statistics.count_dropped(STOPPED if dropped is frame else SUPERSEDED)

        def calibrate(message: CameraInfo) -> None:
            self.calibration = message

        self._limiter.reset()
        image_type = CompressedImage if self.is_compressed else Image
        events = input_events(self.topic, self._parameters, self._report)
        info_qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        # One by one: if the second cannot be made, the first is known and can be taken away.
        self._subscriptions.append(self._node.create_subscription(CameraInfo, self.info_topic, calibrate, info_qos))
        self._subscriptions.append(
            self._node.create_subscription(
                image_type, self.camera.topic, receive, input_qos(self._parameters), event_callbacks=events
            )
        )

    def unsubscribe(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def forget_time(self, waiting: int) -> None:
        """The clock has jumped back: the rate begins anew, and frames that waited are of another time."""
        self._limiter.reset()
        for _ in range(waiting):
            self.statistics.count_dropped(CLOCK_JUMP)

    def destroy(self) -> None:
        """Remove the topics."""
        self.unsubscribe()
        self.publisher.destroy()

    def why_silent(self) -> str:
        """What the ROS graph says about a camera without images, and what to do."""
        wanted = "sensor_msgs/msg/CompressedImage" if self.is_compressed else "sensor_msgs/msg/Image"
        types = {publisher.topic_type for publisher in self._node.get_publishers_info_by_topic(self.topic)}
        if not types:
            return f"nobody publishes {self.topic}: start the camera, or set cameras"
        if wanted not in types:
            return f"{self.topic} is of {', '.join(sorted(types))}, not {wanted}: set cameras or compressed"
        return f"the publisher of {self.topic} sends nothing, or its QoS is incompatible"

    def _report(self, kind: str, times: int, line: str) -> None:
        self.statistics.count_event(kind, times)
        now = time.monotonic()
        if now - self._said.get(line, float("-inf")) > LINE_PERIOD:
            self._said[line] = now
            self._node.get_logger().warning(line)
