# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Publishers of labelled points and objects."""

from __future__ import annotations

from collections.abc import Sequence

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
    coordinates_message,
    detections_message,
    markers_message,
)
from ciae_ros.node.qos import Report, output_events
from ciae_ros.spatial.category_groups import CategoryGroups, split_points
from ciae_ros.spatial.point_layout import LabelledSegment
from ciae_ros.spatial.scene import Scene


class ScenePublisher:
    """Publishes each result with the stamp of its image, on topics that are subscribed to."""

    def __init__(self, node: Node, qos: QoSProfile, report: Report, groups: CategoryGroups | None = None) -> None:
        """Create the publishers.

        Args:
            node: node in whose private namespace the topics are.
            qos: QoS of all topics.
            report: called when a subscriber requests incompatible QoS.
            groups: groups of categories, whose points have topics of their own.
        """
        self._groups = groups
        self._node, self._qos, self._report = node, qos, report
        self._points = self._create(PointCloud2, "~/points")
        self._markers = self._create(MarkerArray, "~/markers")
        self._detections = self._create(Detection3DArray, "~/detections_3d") if Detection3DArray else None
        self._reported: set[str] = set()
        self._of_group = [self._create(PointCloud2, f"~/points/{name}") for name in (groups.names if groups else ())]

    @property
    def wants_colors(self) -> bool:
        """Whether points with colours are subscribed to."""
        return bool(self._points.get_subscription_count())

    @property
    def wants_points(self) -> bool:
        """Whether any points are subscribed to."""
        return self.wants_colors or self._wants_groups

    @property
    def _wants_groups(self) -> bool:
        return any(publisher.get_subscription_count() for publisher in self._of_group)

    def publish(self, stamp: Time, frame: str, scene: Scene, segments: Sequence[LabelledSegment]) -> None:
        """Publish a scene.

        Args:
            stamp: stamp of the image.
            frame: frame of its coordinates.
            scene: points and objects.
            segments: segments of the image.
        """
        for publisher, message in self.messages(stamp, frame, scene, segments):
            publisher.publish(message)

    def messages(
        self,
        stamp: Time,
        frame: str,
        scene: Scene,
        segments: Sequence[LabelledSegment],
        with_everything: bool = False,
    ) -> list[tuple[Publisher, object]]:
        """Return publishers with their messages.

        Args:
            stamp: stamp of the image.
            frame: frame of the coordinates.
            scene: points and objects.
            segments: segments of the image.
            with_everything: also messages that are not subscribed to.
        """
        header = Header(stamp=stamp, frame_id=frame)
        found: list[tuple[Publisher, object]] = []
        if self._detections is not None:
            found.append((self._detections, detections_message(header, scene.objects)))
        if with_everything or self._markers.get_subscription_count():
            found.append((self._markers, markers_message(header, scene.objects)))
        if scene.points is not None and (with_everything or self.wants_colors):
            found.append((self._points, cloud_message(header, scene)))
        if scene.points is not None and self._groups is not None and (with_everything or self._wants_groups):
            self._report_missing(self._groups.without_group(segments))
            clouds = split_points(scene.points, self._groups.of_segments(segments), len(self._groups.names))
            for publisher, points in zip(self._of_group, clouds, strict=True):
                if with_everything or publisher.get_subscription_count():
                    found.append((publisher, coordinates_message(header, points)))
        return found

    def _report_missing(self, categories: set[str]) -> None:
        """Log categories that are in no group, each once."""
        for category in sorted(categories - self._reported):
            self._node.get_logger().warning(f"no group has {category}, whose points are in no cloud of a group")
        self._reported |= categories

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._points, self._markers, self._detections, *self._of_group):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _create(self, message_type: type, topic: str) -> Publisher:
        events = output_events(self._node.resolve_topic_name(topic), self._report)
        return self._node.create_publisher(message_type, topic, self._qos, event_callbacks=events)
