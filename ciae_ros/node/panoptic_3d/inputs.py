# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Subscriptions of the node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ciae_msgs.msg import PanopticSegments
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from ciae_ros.camera.camera_topics import COMPRESSED_SUFFIX
from ciae_ros.node.diagnostics.frame_statistics import FrameStatistics
from ciae_ros.node.panoptic_3d.definitions import Panoptic3dParameters
from ciae_ros.node.panoptic_3d.frame_assembly import FrameAssembly
from ciae_ros.node.panoptic_3d.frame_matcher import LabelMatcher
from ciae_ros.node.panoptic_3d.frame_source import source_of_messages
from ciae_ros.node.panoptic_3d.processor import FrameProcessor
from ciae_ros.node.panoptic_3d.transform_listener import TransformListener
from ciae_ros.node.qos import INCOMPATIBLE, Report
from ciae_ros.node.stamps import nanoseconds
from ciae_ros.spatial.transform_buffer import TransformBuffer

UNPAIRED = "no segments"
"""Drop reason: labels without the segments of the same stamp, or the reverse."""
PAIRS = 10
"""Number of labels, and of segments, that wait for the other one."""


class Inputs:
    """The subscriptions, which feed the assembly and the processor."""

    def __init__(
        self,
        node: Node,
        parameters: Panoptic3dParameters,
        assembly: FrameAssembly,
        processor: FrameProcessor,
        transforms: TransformBuffer,
        statistics: FrameStatistics,
        report: Report,
        with_labels: bool,
    ) -> None:
        """Subscribe.

        Args:
            node: node with the subscriptions.
            parameters: names of the topics, and their QoS.
            assembly: gets depth, images and calibrations.
            processor: gets labels with their segments, and is woken by everything else.
            transforms: gets the transforms.
            statistics: counts labels without segments.
            report: called when a publisher offers incompatible QoS.
            with_labels: whether labels come from topics, and not from a node in this process.
        """
        self._node, self._report = node, report
        self._assembly, self._processor, self._statistics = assembly, processor, statistics
        self._pairs: LabelMatcher[Image, PanopticSegments] = LabelMatcher(PAIRS)
        self._subscriptions: list[Subscription] = []
        self._transforms = TransformListener(node, transforms, processor.wake)
        if with_labels:
            outputs = parameters.outputs
            self._subscribe(CameraInfo, f"{outputs}/camera_info", assembly.put_calibration, QoSProfile(depth=1))
            self._subscribe(PanopticSegments, f"{outputs}/segments", self._on_segments, QoSProfile(depth=PAIRS))
            self._subscribe(Image, f"{outputs}/labels", self._on_labels, QoSProfile(depth=PAIRS))
        sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy[parameters.input_reliability.upper()])
        if parameters.points:
            self._subscribe(PointCloud2, parameters.points, assembly.put_depth, sensor)
        else:
            kind = CompressedImage if parameters.is_depth_compressed else Image
            latest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._subscribe(CameraInfo, parameters.depth_info_topic, assembly.put_depth_calibration, latest)
            self._subscribe(kind, parameters.depth, assembly.put_depth, sensor)
        if parameters.image and with_labels:
            kind = CompressedImage if parameters.image.endswith(COMPRESSED_SUFFIX) else Image
            self._subscribe(kind, parameters.image, assembly.put_image, sensor)

    def clear(self) -> None:
        """Forget labels without segments, and the reverse, after a backward jump of the clock."""
        self._pairs = LabelMatcher(PAIRS)

    def destroy(self) -> None:
        """Unsubscribe."""
        self._transforms.destroy()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _subscribe(self, kind: type, topic: str, take: Callable[[Any], None], qos: QoSProfile) -> None:
        def on_message(message: Any) -> None:
            take(message)
            self._processor.wake()

        events = self._events(self._node.resolve_topic_name(topic))
        self._subscriptions.append(self._node.create_subscription(kind, topic, on_message, qos, event_callbacks=events))

    def _events(self, topic: str) -> SubscriptionEventCallbacks:
        def incompatible(event: Any) -> None:
            policy = qos_policy_name_from_kind(QoSPolicyKind(event.last_policy_kind))
            line = f"{topic}: a publisher is incompatible because of its {policy} policy: have it publish reliably"
            self._report(INCOMPATIBLE, event.total_count_change, line)

        return SubscriptionEventCallbacks(incompatible_qos=incompatible)

    def _on_labels(self, message: Image) -> None:
        stamp = nanoseconds(message.header.stamp)
        self._take_pair(lambda: self._pairs.put_labels(stamp, message))

    def _on_segments(self, message: PanopticSegments) -> None:
        stamp = nanoseconds(message.header.stamp)
        self._take_pair(lambda: self._pairs.put_segments(stamp, message))

    def _take_pair(self, put: Callable[[], tuple[Image, PanopticSegments] | None]) -> None:
        before = self._pairs.forgotten
        pair = put()
        for _ in range(self._pairs.forgotten - before):
            self._statistics.count_received()
            self._statistics.count_dropped(UNPAIRED)
        if pair is not None:
            self._processor.put(source_of_messages(*pair))
