# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The node as a process or in this one, players of bags, and a client that stores its results."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from ciae_msgs.msg import PanopticSegments
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from ciae_ros.core.processes import stop
from ciae_ros.node.cli.arguments import END_OF_3D, WITH_3D
from ciae_ros.node.lifecycle.process_end import NodeExecutor
from ciae_ros.node.panoptic_3d.messages import Detection3DArray
from ciae_ros.node.panoptic_3d.node import Panoptic3dNode
from ciae_ros.node.stamps import nanoseconds
from tests.node.harness import TIMEOUT, start_node, start_program

KINDS = {
    f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}": kind
    for kind in (CameraInfo, CompressedImage, Image, PanopticSegments, PointCloud2, TFMessage)
}
FORMATS = {2: np.uint8, 4: np.uint16, 6: np.uint32, 7: np.float32}
"""NumPy types of `PointField.datatype`."""


def start_panoptic_3d(**parameters: str) -> subprocess.Popen[str]:
    """Start the node as a process."""
    named = {name.replace("__", "."): value for name, value in parameters.items()}
    return start_program("-m", "ciae_ros.node.cli.panoptic_3d", **named)


@contextmanager
def panoptic_3d_in_this_process(**parameters: Any) -> Iterator[Panoptic3dNode]:
    """Run the node on its own executor, active."""
    overrides = [Parameter(name.replace("__", "."), value=value) for name, value in parameters.items()]
    node = Panoptic3dNode(parameter_overrides=overrides)
    executor = NodeExecutor()
    executor.add_node(node)
    for trigger in (node.trigger_configure, node.trigger_activate):
        assert trigger() == TransitionCallbackReturn.SUCCESS
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join()
        node.close()
        node.destroy_node()


@dataclass(frozen=True)
class MarkedObject:
    """An object as its markers show it."""

    name: str
    position: np.ndarray
    center: np.ndarray
    size: np.ndarray
    quaternion: np.ndarray


class SceneClient(Node):
    """Publishes messages, and stores the results of the node by stamp."""

    def __init__(self, with_points: bool = True, namespace: str = "/panoptic_3d") -> None:
        super().__init__(f"scene_client_{time.monotonic_ns()}")
        self.markers: dict[int, MarkerArray] = {}
        self.clouds: dict[int, PointCloud2] = {}
        self.statuses: dict[str, DiagnosticStatus] = {}
        self._by_topic: dict[str, Publisher] = {}
        self._with_points = with_points
        qos = QoSProfile(depth=20)
        self.create_subscription(MarkerArray, f"{namespace}/markers", self._keep_markers, qos)
        if with_points:
            self.create_subscription(PointCloud2, f"{namespace}/points", self._keep_cloud, qos)
        self.detections: dict[int, Any] = {}
        if Detection3DArray is not None:
            self.create_subscription(Detection3DArray, f"{namespace}/detections_3d", self._keep_detections, qos)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._keep_statuses, qos)

    def advertise(self, *topics: tuple[str, type]) -> None:
        """Create publishers, so that they are discovered before the first message."""
        for topic, kind in topics:
            durability = DurabilityPolicy.TRANSIENT_LOCAL if topic == "/tf_static" else DurabilityPolicy.VOLATILE
            qos = QoSProfile(depth=100, durability=durability)
            if topic not in self._by_topic:
                self._by_topic[topic] = self.create_publisher(kind, topic, qos)

    def wait_for_subscribers(self, *topics: str) -> None:
        """Wait until the topics, or all that were advertised, have a subscriber."""
        self.wait(lambda: self.has_subscribers(*topics))

    def has_subscribers(self, *topics: str) -> bool:
        """Whether the topics, or all that were advertised, have a subscriber."""
        wanted = topics or tuple(self._by_topic)
        return all(self._by_topic[topic].get_subscription_count() for topic in wanted)

    @property
    def topics(self) -> list[str]:
        """The topics that were advertised."""
        return list(self._by_topic)

    def publish(self, topic: str, message: Any) -> None:
        """Publish a message, or its bytes."""
        self._by_topic[topic].publish(message)

    def publish_until_answered(self, messages: Sequence[tuple[str, int, Any]], stamp: int) -> None:
        """Publish topics, times and messages of a frame, until it has a result.

        A discovered subscription may not have discovered its publisher, so that the first messages get lost.
        """
        end = time.monotonic() + TIMEOUT
        while not self.is_answered(stamp):
            for topic, _, message in messages:
                self.publish(topic, message)
            try:
                self.wait(lambda: self.is_answered(stamp), timeout=2)
            except TimeoutError:
                if time.monotonic() > end:
                    raise

    def is_answered(self, stamp: int) -> bool:
        """Whether all topics that are subscribed to have a message with a stamp."""
        return stamp in self.markers and (not self._with_points or stamp in self.clouds)

    def wait(self, condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
        """Serve the topics until the condition holds.

        Raises:
            TimeoutError: it does not hold within the timeout.
        """
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"after {timeout} s; the node's counts are {self.counts}")
            rclpy.spin_once(self, timeout_sec=0.02)

    def serve_shortly(self) -> None:
        """Serve the topics for a moment, so that messages arrive in the order in which they were published."""
        rclpy.spin_once(self, timeout_sec=0.02)

    def wait_quietly(self, seconds: float) -> None:
        """Serve the topics for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.serve_shortly()

    def forget(self) -> None:
        """Forget the results so far."""
        self.markers.clear()
        self.clouds.clear()

    @property
    def counts(self) -> dict[str, str]:
        """Keys and values of the status of the labels."""
        for name, status in self.statuses.items():
            if name.endswith(": labels"):
                return {pair.key: pair.value for pair in status.values}
        return {}

    def dropped(self, reason: str) -> int:
        """Return the number of frames that were dropped for a reason."""
        return int(self.counts.get(f"dropped, {reason}", 0))

    def objects(self, stamp: int) -> list[MarkedObject]:
        """Return the objects of a frame."""
        first, *others = self.markers[stamp].markers
        assert first.action == Marker.DELETEALL
        if not others:
            return []
        by_kind: dict[str, dict[int, Marker]] = {"boxes": {}, "names": {}, "positions": {}}
        for marker in others:
            by_kind[marker.ns][marker.id] = marker
        positions = by_kind["positions"][0].points
        return [
            MarkedObject(
                name=by_kind["names"][number].text,
                position=_array(positions[number]),
                center=_array(box.pose.position),
                size=_array(box.scale),
                quaternion=np.array([getattr(box.pose.orientation, axis) for axis in "xyzw"]),
            )
            for number, box in by_kind["boxes"].items()
        ]

    def _keep_markers(self, message: MarkerArray) -> None:
        self.markers[nanoseconds(message.markers[0].header.stamp)] = message

    def _keep_cloud(self, message: PointCloud2) -> None:
        self.clouds[nanoseconds(message.header.stamp)] = message

    def _keep_detections(self, message: Any) -> None:
        self.detections[nanoseconds(message.header.stamp)] = message

    def _keep_statuses(self, message: DiagnosticArray) -> None:
        self.statuses |= {status.name: status for status in message.status}


@contextmanager
def both_nodes(camera: str, size: str, **parameters_3d: str) -> Iterator[SceneClient]:
    """Run `panoptic_node` with the shipped model, and `panoptic_3d` in the same process."""
    settings = [
        argument for name, value in parameters_3d.items() for argument in ("-p", f"{name.replace('__', '.')}:={value}")
    ]
    program = "-m", "ciae_ros.node.cli.panoptic_node", WITH_3D, "--ros-args", *settings, END_OF_3D
    node = start_node(*program, cameras=f"[{camera}]", expected_sizes=f"[{size}]")
    client = SceneClient()
    try:
        yield client
    finally:
        client.destroy_node()
        assert stop(node, 30) == 0


def read_cloud(message: PointCloud2) -> np.ndarray:
    """Return the points as a structured array."""
    kind = np.dtype(
        {
            "names": [field.name for field in message.fields],
            "formats": [FORMATS[field.datatype] for field in message.fields],
            "offsets": [field.offset for field in message.fields],
            "itemsize": message.point_step,
        }
    )
    assert message.row_step == message.width * message.point_step
    return np.frombuffer(message.data, kind).reshape(message.height, message.width)


def bag_messages(path: Path) -> Iterator[tuple[str, type, int, bytes]]:
    """Yield topic, type, time and bytes of the messages of a bag."""
    with Reader(path) as reader:
        for connection, stamp, data in reader.messages():
            yield connection.topic, KINDS[connection.msgtype], stamp, bytes(data)


def _array(vector: Any) -> np.ndarray:
    return np.array([vector.x, vector.y, vector.z])
