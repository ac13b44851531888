# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Plays a bag into a running node and keeps what it answers. Needs ROS 2."""

from __future__ import annotations

import struct
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

from ciae_ros.replay.answers import Answer
from ciae_ros.replay.bags.bag import Bag
from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE
from ciae_ros.replay.read_ahead import read_ahead
from ciae_ros.replay.types import ReplayError

START_TIMEOUT = 120.0
"""Seconds until the node must listen."""
SETTLED = 2.0
"""Seconds without an answer after which no more are expected, if the node says that it is done."""
END_TIMEOUT = 60.0
"""Seconds after the last image after which that is so whatever the node says."""
DEVICE_MEMORY, DIGEST = "device memory [MiB]", "model digest"
"""Keys in the node's diagnostics."""
CLOCK_PERIOD = 0.02
"""Seconds between two messages on /clock."""


class Route(NamedTuple):
    """Where the images of a topic in the bag go, and where their answers come from."""

    images: str
    """Topic that the node listens to."""
    outputs: str
    """Namespace of its answers."""


Record = Callable[[str, type, int, bytes], None]
"""Takes the topic, the type, the bag's time in nanoseconds and the CDR of a message that has been received."""


class PlaybackError(ReplayError):
    """A node that does not listen or has ended."""


class BagPlayback(Node):
    """Publishes images and /clock, and hears answers and diagnostics, which a thread takes in while it plays."""

    def __init__(self, bag: Bag, routes: Mapping[str, Route], record: Record) -> None:
        """Create the topics.

        Args:
            bag: to be played.
            routes: of its topics.
            record: keeps what the node publishes.
        """
        super().__init__("bag_playback")
        self._bag, self._routes, self._record = bag, routes, record
        self._bag_time = 0
        """Nanoseconds: what /clock said last."""
        self._answers: dict[str, dict[int, Answer]] = {topic: {} for topic in routes}
        """By topic and stamp."""
        self._values: dict[str, dict[str, str]] = {}
        self._last_arrival = 0.0
        self.seconds = 0.0
        """From the first image to the last answer."""
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10)
        qos = QoSProfile(depth=50)
        self._images: dict[str, Publisher] = {}
        for topic, route in routes.items():
            kind: type = CompressedImage if bag.topics[topic].type == COMPRESSED_IMAGE else Image
            self._images[topic] = self.create_publisher(kind, route.images, QoSProfile(depth=5))
            self._listen(Image, f"{route.outputs}/labels", self._labels_of(topic), qos)
            self._listen(PanopticSegments, f"{route.outputs}/segments", self._segments_of(topic), qos)
        self._listen(DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10))

    def play(self, rate: float, is_alive: Callable[[], bool]) -> dict[str, dict[int, Answer]]:
        """Publish all images at the pace in which they were recorded.

        Args:
            rate: so many times as fast.
            is_alive: says whether the node still runs.

        Returns:
            By topic, for each stamp that was published, what came back for it.

        Raises:
            PlaybackError: the node does not listen, or has ended.
            BagError: the bag cannot be read.
        """
        with self._listening():
            self._wait_for_node(is_alive)
            start = time.monotonic()
            self._publish_all(rate, is_alive)
            self._wait_for_answers(is_alive)
        self.seconds = max(0.0, self._last_arrival - start)
        return self._answers

    def dropped(self) -> dict[str, int]:
        """Images by the reason for which the node has dropped them, as it said last."""
        counts: Counter[str] = Counter()
        for values in self._values.values():
            for key, value in values.items():
                if key.startswith("dropped, "):
                    counts[key.removeprefix("dropped, ")] += int(value)
        return dict(counts)

    def device_memory(self) -> int | None:
        """Bytes that the node holds on its device, as it said last; None if it has none of its own."""
        said = [values.get(DEVICE_MEMORY, "") for values in self._values.values()]
        known = [int(value) * 2**20 for value in said if value.isdecimal()]
        return max(known, default=None)

    def digest(self) -> str:
        """Of the node's model, as it said; empty if it has said nothing."""
        return next((values[DIGEST] for values in self._values.values() if DIGEST in values), "")

    def _listen(self, kind: type, topic: str, receive: Callable[[Any], None], qos: QoSProfile) -> None:
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
                self._tell_time(log_time - int(max(0.0, due - time.monotonic()) * rate * 1e9))
            self._tell_time(log_time)
            stamp = stamp_of_serialized(raw)
            if stamp is not None:
                # Before it is published: the answer may be quick.
                self._answers[topic][stamp] = Answer(time.monotonic())
                self._images[topic].publish(raw)
            if not is_alive():
                raise PlaybackError("the node has ended while the bag was played; its message is above")

    def _tell_time(self, nanoseconds: int) -> None:
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
                raise PlaybackError(f"no node listens to {topics} and publishes labels: is it active?")
            time.sleep(0.1)
        # That its subscription is seen here does not mean that it sees this publisher.
        time.sleep(1.0)

    def _wait_for_answers(self, is_alive: Callable[[], bool]) -> None:
        end = time.monotonic() + END_TIMEOUT
        published = time.monotonic()
        while time.monotonic() < end and is_alive():
            unfinished = [values["unfinished"] for values in self._values.values() if "unfinished" in values]
            quiet = time.monotonic() - max(published, self._last_arrival)
            if quiet > SETTLED and unfinished and set(unfinished) == {"0"}:
                return
            time.sleep(0.1)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        executor = SingleThreadedExecutor()
        executor.add_node(self)
        thread = threading.Thread(target=executor.spin, name="ciae-listen")
        thread.start()
        try:
            yield
        finally:
            executor.shutdown()
            thread.join()

    def _labels_of(self, topic: str) -> Callable[[Image], None]:
        def receive(message: Image) -> None:
            if (answer := self._answer(topic, message.header)) is not None:
                answer.take_labels(np.frombuffer(message.data, np.uint16).reshape(message.height, message.width))

        return receive

    def _segments_of(self, topic: str) -> Callable[[PanopticSegments], None]:
        def receive(message: PanopticSegments) -> None:
            if (answer := self._answer(topic, message.header)) is not None:
                answer.take_segments(message.segments)

        return receive

    def _answer(self, topic: str, header: Header) -> Answer | None:
        """The answer that a message belongs to, which has arrived now; None for what was not asked here."""
        answer = self._answers[topic].get(header.stamp.sec * 10**9 + header.stamp.nanosec)
        if answer is not None:
            answer.arrived = self._last_arrival = time.monotonic()
        return answer

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if "unfinished" in values or DEVICE_MEMORY in values:
                self._values[status.name] = values


def stamp_of_serialized(raw: bytes) -> int | None:
    """Nanoseconds of the header that a serialised image begins with; None if it is too short for one."""
    if len(raw) < 12:
        return None
    order = "<" if raw[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", raw, 4)
    return seconds * 10**9 + nanoseconds
