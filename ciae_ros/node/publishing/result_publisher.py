# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Publishers of one camera's results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from ciae_msgs.msg import PanopticSegments, RunLengthLabels
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ciae_ros.camera.camera_image import CameraImage
from ciae_ros.inference import Category, PanopticResult
from ciae_ros.node.camera_calibration import labels_camera_info
from ciae_ros.node.cameras import Camera
from ciae_ros.node.publishing.image_messages import bgr_image, byte_image, label_image, semantic_image
from ciae_ros.node.publishing.messages import (
    Detection2DArray,
    LabelInfo,
    detections_message,
    label_info,
    run_length_labels,
    segments_message,
)
from ciae_ros.node.qos import Report, output_events
from ciae_ros.visualization import OverlayStyle, draw_overlay

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class SegmentedFrame:
    """A result with its image and header."""

    header: Header
    image: CameraImage
    result: PanopticResult


OnResult = Callable[[Camera, SegmentedFrame, CameraInfo | None], None]
"""Takes a camera, a result, and the calibration of the camera if it is known."""


class ResultPublisher:
    """Publishes each result with its image's header: labels and segments always, others if they are subscribed to."""

    def __init__(self, node: Node, camera: Camera, qos: QoSProfile, report: Report, semantic_encoding: str) -> None:
        """Create the publishers.

        Args:
            node: node in whose private namespace the topics are.
            camera: determines the names of the topics.
            qos: QoS of all topics with frames.
            report: called when a subscriber requests incompatible QoS.
            semantic_encoding: encoding of the semantic image, 16UC1 or mono8.
        """
        self._semantic_encoding = semantic_encoding
        self._node = node
        self._camera = camera
        self._qos, self._report = qos, report
        self._labels = self._create(Image, "labels")
        self._segments = self._create(PanopticSegments, "segments")
        self._run_lengths = self._create(RunLengthLabels, "labels/run_lengths")
        self._semantic = self._create(Image, "semantic")
        self._confidence = self._create(Image, "confidence")
        self._overlay = self._create(Image, "overlay")
        self._camera_info = self._create(CameraInfo, "camera_info")
        self._detections = self._create(Detection2DArray, "detections") if Detection2DArray else None
        self._label_info = node.create_publisher(LabelInfo, camera.output("label_info"), LATCHED) if LabelInfo else None

    def publish(
        self,
        frame: SegmentedFrame,
        model: str,
        calibration: CameraInfo | None,
        style: OverlayStyle,
        note: str = "",
    ) -> tuple[float, float]:
        """Publish one result: labels and segments first, then derived messages, and the overlay last.

        Each message is published as soon as it is made, so that labels do not wait for the overlay.

        Args:
            frame: the result.
            model: name of the model.
            calibration: calibration of the camera, if known.
            style: style of the overlay.
            note: a line of text for the overlay.

        Returns:
            The seconds spent on making messages and on publishing them.
        """
        making = publishing = 0.0
        start = time.perf_counter()
        for publisher, message in self._messages(frame, model, calibration, style, note):
            made = time.perf_counter()
            publisher.publish(message)
            published = time.perf_counter()
            making, publishing, start = making + made - start, publishing + published - made, published
        return making, publishing

    def _messages(
        self, frame: SegmentedFrame, model: str, calibration: CameraInfo | None, style: OverlayStyle, note: str
    ) -> Iterator[tuple[Publisher, object]]:
        """Yield publishers with their messages; each message is made after the previous one was published."""
        header, result = frame.header, frame.result
        yield self._labels, label_image(header, result.label_map)
        yield self._segments, segments_message(header, result, model)
        if calibration is not None:
            image_size, labels_size = frame.image.pixels.shape[:2], result.label_map.shape
            yield self._camera_info, labels_camera_info(calibration, header, image_size, labels_size)
        if self._detections is not None and self._detections.get_subscription_count():
            yield self._detections, detections_message(header, result)
        if self._run_lengths.get_subscription_count():
            yield self._run_lengths, run_length_labels(header, result.label_map)
        if self._semantic.get_subscription_count():
            yield self._semantic, semantic_image(header, result.semantic_map(), self._semantic_encoding)
        if self._confidence.get_subscription_count():
            yield self._confidence, byte_image(header, result.confidence_map())
        if self._overlay.get_subscription_count():
            yield self._overlay, bgr_image(header, render_overlay(frame, style, note))

    def publish_label_info(self, header: Header, categories: Iterable[Category]) -> None:
        """Publish the names of category ids with transient-local durability, if vision_msgs is installed."""
        if self._label_info is not None:
            self._label_info.publish(label_info(header, categories))

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (
            self._labels,
            self._segments,
            self._run_lengths,
            self._semantic,
            self._confidence,
            self._overlay,
            self._camera_info,
            self._detections,
            self._label_info,
        ):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _create(self, message_type: type, topic: str) -> Publisher:
        name = self._camera.output(topic)
        events = output_events(self._node.resolve_topic_name(name), self._report)
        return self._node.create_publisher(message_type, name, self._qos, event_callbacks=events)


def render_overlay(frame: SegmentedFrame, style: OverlayStyle, note: str = "") -> np.ndarray:
    """Draw the overlay, (H, W, 3) uint8 BGR of the labels' size."""
    height, width = frame.result.label_map.shape
    picture = frame.image.to_bgr()
    if picture.shape[:2] != (height, width):
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return draw_overlay(picture, frame.result, style, note)
