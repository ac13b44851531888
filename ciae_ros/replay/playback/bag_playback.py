# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Playback of a bag into a running node, which collects the responses. Needs ROS 2."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from ciae_msgs.msg import PanopticSegments
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ciae_ros.core.diagnostics import CameraDiagnostics, NodeDiagnostics
from ciae_ros.replay.bags.bag import Bag
from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE
from ciae_ros.replay.bags.stamps import stamp_of_serialized
from ciae_ros.replay.bags.types import ReplayError
from ciae_ros.replay.evaluation.read_ahead import read_ahead
from ciae_ros.replay.playback.node_responses import NodeResponse

START_TIMEOUT = 120.0
"""Maximum seconds until the node subscribes."""
QUIET_PERIOD = 2.0
"""Seconds without a response after which playback ends, if the node reports no unfinished frames."""
END_TIMEOUT = 60.0
"""Maximum seconds to wait for responses after the last image."""
CLOCK_PERIOD = 0.02
"""Seconds between two messages on /clock."""


class Route(NamedTuple):
    """Topics of the node that correspond to an image topic of the bag."""

    images: str
    """Topic that the node subscribes to."""
    outputs: str
    """Namespace of its outputs."""


Record = Callable[[str, type, int, bytes], None]
"""Takes the topic, the type, the bag's time in nanoseconds and the CDR of a message that has been received."""


class PlaybackError(ReplayError):
    """The node does not subscribe or has ended."""


class BagPlayback(Node):
    """Publishes images and /clock; a thread receives responses and diagnostics meanwhile."""

    def __init__(self, bag: Bag, routes: Mapping[str, Route], record: Record) -> None:
        """Create the topics.

        Args:
            bag: bag to play.
            routes: routes of its topics.
            record: records what the node publishes.
        """
        super().__init__("bag_playback")
        self._bag, self._routes, self._record = bag, routes, record
        self._bag_time = 0
        """Last time published on /clock in nanoseconds."""
        self._responses: dict[str, dict[int, NodeResponse]] = {topic: {} for topic in routes}
        """Responses by topic and stamp."""
        self._cameras: dict[str, CameraDiagnostics] = {}
        self._node_diagnostics: NodeDiagnostics | None = None
        self._last_arrival = 0.0
        self.seconds = 0.0
        """Time from the first image to the last response."""
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10)
        qos = QoSProfile(depth=50)
        self._images: dict[str, Publisher] = {}
        for topic, route in routes.items():
            kind: type = CompressedImage if bag.topics[topic].type == COMPRESSED_IMAGE else Image
            self._images[topic] = self.create_publisher(kind, route.images, QoSProfile(depth=5))
            self._subscribe(Image, f"{route.outputs}/labels", self._labels_of(topic), qos)
            self._subscribe(PanopticSegments, f"{route.outputs}/segments", self._segments_of(topic), qos)
        self._subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10))

    def play(self, rate: float, is_alive: Callable[[], bool]) -> dict[str, dict[int, NodeResponse]]:
        """Publish all images at the recorded rate.

        Args:
            rate: playback rate relative to the recording.
            is_alive: returns whether the node is still running.

        Returns:
            The responses by topic and stamp of the published images.

        Raises:
            PlaybackError: the node does not subscribe or has ended.
            BagError: the bag cannot be read.
        """
        with self._receiving():
            self._wait_for_node(is_alive)
            start = time.monotonic()
            self._publish_all(rate, is_alive)
            self._wait_for_responses(is_alive)
        self.seconds = max(0.0, self._last_arrival - start)
        return self._responses

    def dropped(self) -> dict[str, int]:
        """Return the number of dropped images by reason, as last reported by the node."""
        counts: Counter[str] = Counter()
        for camera in self._cameras.values():
            counts.update(camera.dropped)
        return dict(counts)

    def device_memory(self) -> int | None:
        """Return the device memory of the node in bytes, as last reported; None on a CPU."""
        return self._node_diagnostics.device_memory if self._node_diagnostics else None

    def digest(self) -> str:
        """Return the digest of the node's model; empty if it has not been reported."""
        return self._node_diagnostics.digest if self._node_diagnostics else ""

    def _subscribe(self, kind: type, topic: str, receive: Callable[[Any], None], qos: QoSProfile) -> None:
        def record_and_receive(raw: bytes) -> None:
            self._record(topic, kind, self._bag_time, raw)
            receive(deserialize_message(raw, kind))

        self.create_subscription(kind, topic, record_and_receive, qos, raw=True)

    def _publish_all(self, rate: float, is_alive: Callable[[], bool]) -> None:
        start = first = None
        for topic, log_time, raw in read_ahead(self._bag.raw_messages(list(self._routes))):
            if start is None or first is None:
                start, first = time.monotonic(), log_time
            due = start + (log_time - first) * 1e-9 / rate
            while (left := due - time.monotonic()) > 0:
                time.sleep(min(left, CLOCK_PERIOD))
                self._publish_clock(log_time - int(max(0.0, due - time.monotonic()) * rate * 1e9))
            self._publish_clock(log_time)
            stamp = stamp_of_serialized(raw)
            if stamp is not None:
                # Before publication: the response may arrive immediately.
                self._responses[topic][stamp] = NodeResponse(time.monotonic())
                self._images[topic].publish(raw)
            if not is_alive():
                raise PlaybackError("the node ended during playback; its message is above")

    def _publish_clock(self, nanoseconds: int) -> None:
        self._bag_time = nanoseconds
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(nanoseconds, 10**9)
        self._clock_publisher.publish(message)

    def _wait_for_node(self, is_alive: Callable[[], bool]) -> None:
        end = time.monotonic() + START_TIMEOUT
        while not all(
            self._images[topic].get_subscription_count() and self.count_publishers(f"{route.outputs}/labels")
            for topic, route in self._routes.items()
        ):
            if not is_alive():
                raise PlaybackError("the node did not start; its message is above")
            if time.monotonic() > end:
                topics = ", ".join(route.images for route in self._routes.values())
                raise PlaybackError(f"no node subscribes to {topics} and publishes labels: is it active?")
            time.sleep(0.1)
        # Its subscription is visible here, but it may not have discovered this publisher yet.
        time.sleep(1.0)

    def _wait_for_responses(self, is_alive: Callable[[], bool]) -> None:
        end = time.monotonic() + END_TIMEOUT
        published = time.monotonic()
        while time.monotonic() < end and is_alive():
            quiet = time.monotonic() - max(published, self._last_arrival)
            is_done = bool(self._cameras) and not any(camera.unfinished for camera in self._cameras.values())
            if quiet > QUIET_PERIOD and is_done:
                return
            time.sleep(0.1)

    @contextmanager
    def _receiving(self) -> Iterator[None]:
        executor = SingleThreadedExecutor()
        executor.add_node(self)
        thread = threading.Thread(target=executor.spin, name="ciae-receive")
        thread.start()
        try:
            yield
        finally:
            executor.shutdown()
            thread.join()

    def _labels_of(self, topic: str) -> Callable[[Image], None]:
        def receive(message: Image) -> None:
            if (response := self._response(topic, message.header)) is not None:
                response.set_labels(np.frombuffer(message.data, np.uint16).reshape(message.height, message.width))

        return receive

    def _segments_of(self, topic: str) -> Callable[[PanopticSegments], None]:
        def receive(message: PanopticSegments) -> None:
            if (response := self._response(topic, message.header)) is not None:
                response.set_segments(message.segments)

        return receive

    def _response(self, topic: str, header: Header) -> NodeResponse | None:
        """Return the response of a message and record its arrival; None if its image was not published here."""
        response = self._responses[topic].get(header.stamp.sec * 10**9 + header.stamp.nanosec)
        if response is not None:
            response.arrived = self._last_arrival = time.monotonic()
        return response

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if (camera := CameraDiagnostics.from_values(values)) is not None:
                self._cameras[status.name] = camera
            elif (node := NodeDiagnostics.from_values(values)) is not None:
                self._node_diagnostics = node
