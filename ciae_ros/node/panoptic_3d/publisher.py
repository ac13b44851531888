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
from ciae_ros.spatial.point_layout import point_words
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
        header = Header(stamp=stamp, frame_id=frame)
        if self._detections is not None:
            self._detections.publish(detections_message(header, scene.objects))
        if self._markers.get_subscription_count():
            self._markers.publish(markers_message(header, scene.objects))
        if scene.points is not None:
            packed = scene.points.shape[1] == point_words(packed_label=True)
            self._points.publish(cloud_message(header, scene.points, scene.shape, packed))

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._points, self._markers, self._detections):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _create(self, message_type: type, topic: str) -> Publisher:
        events = output_events(self._node.resolve_topic_name(topic), self._report)
        return self._node.create_publisher(message_type, topic, self._qos, event_callbacks=events)
