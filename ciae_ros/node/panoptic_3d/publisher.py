# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Publishers of labelled points and objects."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from ciae_ros.node.panoptic_3d.messages import (
    Detection3DArray,
    cloud_message,
    detections_message,
    markers_message,
)
from ciae_ros.node.qos import Report, output_events
from ciae_ros.spatial.scene import Scene


class ScenePublisher:
    """Publishes each result with the stamp of its image, on topics that are subscribed to."""

    def __init__(self, node: Node, qos: QoSProfile, report: Report) -> None:
        """Create the publishers.

        Args:
            node: node in whose private namespace the topics are.
            qos: QoS of all topics.
            report: called when a subscriber requests incompatible QoS.
        """
        self._node, self._qos, self._report = node, qos, report
        self._points = self._create(PointCloud2, "~/points")
        self._markers = self._create(MarkerArray, "~/markers")
        self._detections = self._create(Detection3DArray, "~/detections_3d") if Detection3DArray else None

    @property
    def wants_points(self) -> bool:
        """Whether the points are subscribed to."""
        return bool(self._points.get_subscription_count())

    def publish(self, stamp: Time, frame: str, scene: Scene) -> None:
        """Publish a scene.

        Args:
            stamp: stamp of the image.
            frame: frame of its coordinates.
            scene: points and objects.
        """
        for publisher, message in self.messages(stamp, frame, scene):
            publisher.publish(message)

    def messages(
        self, stamp: Time, frame: str, scene: Scene, with_everything: bool = False
    ) -> list[tuple[Publisher, object]]:
        """Return publishers with their messages.

        Args:
            stamp: stamp of the image.
            frame: frame of the coordinates.
            scene: points and objects.
            with_everything: also messages that are not subscribed to.
        """
        header = Header(stamp=stamp, frame_id=frame)
        found: list[tuple[Publisher, object]] = []
        if self._detections is not None:
            found.append((self._detections, detections_message(header, scene.objects)))
        if with_everything or self._markers.get_subscription_count():
            found.append((self._markers, markers_message(header, scene.objects)))
        if scene.points is not None:
            found.append((self._points, cloud_message(header, scene)))
        return found

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._points, self._markers, self._detections):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _create(self, message_type: type, topic: str) -> Publisher:
        events = output_events(self._node.resolve_topic_name(topic), self._report)
        return self._node.create_publisher(message_type, topic, self._qos, event_callbacks=events)
