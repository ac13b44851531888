# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Subscription, publishers and statistics of one camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ciae_ros.camera.camera_image import CameraImage
from ciae_ros.camera.camera_topics import COMPRESSED_SUFFIX, camera_info_topic
from ciae_ros.core.result import PanopticResult
from ciae_ros.node.cameras import Camera
from ciae_ros.node.diagnostics.event_reports import EventReports
from ciae_ros.node.diagnostics.frame_statistics import CLOCK_JUMP, OVER_RATE, STOPPED, SUPERSEDED, FrameStatistics
from ciae_ros.node.parameters.definitions import NodeParameters
from ciae_ros.node.publishing.result_publisher import ResultPublisher, SegmentedFrame
from ciae_ros.node.qos import input_events, input_qos, output_qos
from ciae_ros.node.rate_limiter import RateLimiter
from ciae_ros.node.stamps import nanoseconds
from ciae_ros.tracking.tracker import Tracker


@dataclass(frozen=True)
class PendingFrame:
    """A camera's message that waits to be segmented."""

    message: Image | CompressedImage
    arrival: float
    """time.perf_counter() when it was received."""


PutFrame = Callable[[str, PendingFrame], PendingFrame | None]
"""Takes a camera's name and its newest frame; returns the frame that is discarded, if any."""


class CameraStream:
    """A camera's subscription, output topics and statistics."""

    def __init__(self, node: Node, camera: Camera, parameters: NodeParameters, track_ids: Iterator[int]) -> None:
        """Create the output topics.

        Args:
            node: the node.
            camera: the camera.
            parameters: parameters of the node.
            track_ids: source of the ids of tracks.
        """
        self.camera = camera
        self.statistics = FrameStatistics()
        self.calibration: CameraInfo | None = None
        self.last: tuple[PendingFrame, SegmentedFrame] | None = None
        """The last segmented frame, kept for `~/save_frame` until deactivation."""
        self._node = node
        self._parameters = parameters
        self._limiter = RateLimiter()
        self._tracker, self._tracking = Tracker(track_ids), threading.Lock()
        self._subscriptions: list[Subscription] = []
        self._report = EventReports(self.statistics, node.get_logger())
        self.publisher = ResultPublisher(
            node, camera, output_qos(parameters), self._report, parameters.semantic_encoding
        )

    @property
    def topic(self) -> str:
        """Fully qualified image topic, after remapping."""
        return self._node.resolve_topic_name(self.camera.topic)

    @property
    def info_topic(self) -> str:
        """CameraInfo topic: the remapped one, or else the one next to the (remapped) image topic."""
        by_parameter = self.camera.info_topic
        resolve = self._node.resolve_topic_name
        is_remapped = resolve(by_parameter) != resolve(by_parameter, only_expand=True)
        return by_parameter if is_remapped else camera_info_topic(self.topic)

    @property
    def is_compressed(self) -> bool:
        """Whether the images are sensor_msgs/CompressedImage, which a remapped topic may also imply."""
        return self.camera.is_compressed or self.topic.endswith(COMPRESSED_SUFFIX)

    def subscribe(self, put: PutFrame, max_rate: Callable[[], float]) -> None:
        """Subscribe to the camera.

        Args:
            put: called with every image that the rate limit admits.
            max_rate: returns the maximum rate in images per second; called for every image.
        """

        def on_image(message: Image | CompressedImage) -> None:
            self.statistics.count_received()
            now = self._node.get_clock().now().nanoseconds * 1e-9
            if not self._limiter.admits(now, max_rate()):
                self.statistics.count_dropped(OVER_RATE)
                return
            frame = PendingFrame(message, time.perf_counter())
            dropped = put(self.camera.name, frame)
            if dropped is not None:
                # The new frame is discarded if the node has been deactivated meanwhile.
                self.statistics.count_dropped(STOPPED if dropped is frame else SUPERSEDED)

        def on_camera_info(message: CameraInfo) -> None:
            self.calibration = message

        self._limiter.reset()
        image_type = CompressedImage if self.is_compressed else Image
        events = input_events(self.topic, self._parameters, self._report)
        info_qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        # One by one: if the second cannot be created, the first can still be destroyed.
        self._subscriptions.append(
            self._node.create_subscription(CameraInfo, self.info_topic, on_camera_info, info_qos)
        )
        self._subscriptions.append(
            self._node.create_subscription(
                image_type, self.camera.topic, on_image, input_qos(self._parameters), event_callbacks=events
            )
        )

    def unsubscribe(self) -> None:
        """Destroy the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def track(
        self, stamp: Time, result: PanopticResult, image: CameraImage, parameters: NodeParameters
    ) -> PanopticResult:
        """Return the result of a frame with the ids of its things' tracks, unless the parameters switch tracking off.

        Args:
            stamp: stamp of the frame.
            result: its result.
            image: its image.
            parameters: present parameters.
        """
        if not parameters.tracking:
            return result
        with self._tracking:
            try:
                seconds = 1e-9 * nanoseconds(stamp)
                return self._tracker.update(result, seconds, image.pixels, parameters.tracking_max_gap)
            except Exception:
                # Whatever state caused the error must not fail the frames that follow.
                self._tracker.reset()
                raise

    def reset_tracks(self) -> None:
        """Discard all tracks; their ids are not used again."""
        with self._tracking:
            self._tracker.reset()

    def on_clock_jump(self, discarded: int) -> None:
        """Reset rate limiter and tracks after a backward jump of the clock, and count the discarded frames."""
        self._limiter.reset()
        self.reset_tracks()
        for _ in range(discarded):
            self.statistics.count_dropped(CLOCK_JUMP)

    def destroy(self) -> None:
        """Destroy subscriptions and publishers."""
        self.unsubscribe()
        self.publisher.destroy()

    def diagnose_no_images(self) -> str:
        """Return why no images arrive, according to the ROS graph, and what to do."""
        wanted = "sensor_msgs/msg/CompressedImage" if self.is_compressed else "sensor_msgs/msg/Image"
        types = {publisher.topic_type for publisher in self._node.get_publishers_info_by_topic(self.topic)}
        if not types:
            return f"{self.topic} has no publisher: start the camera, or set cameras"
        if wanted not in types:
            return f"{self.topic} has type {', '.join(sorted(types))}, not {wanted}: set cameras or compressed"
        return f"the publisher of {self.topic} sends nothing, or its QoS is incompatible"
