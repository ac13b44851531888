"""The node's output topics."""

from __future__ import annotations

import time

from ciae_msgs.msg import PanopticSegments
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ciae_ros.inference import CategorySet, PanopticResult
from ciae_ros.node.image_conversion import CameraImage
from ciae_ros.node.image_messages import bgr_image, label_image
from ciae_ros.node.messages import LabelInfo, label_info, segments_message
from ciae_ros.visualization import OverlayStyle, draw_overlay

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class ResultPublisher:
    """Publishes each result under its image's header: labels and segments always, the rest while it is listened to."""

    def __init__(self, node: LifecycleNode, qos: QoSProfile, model: str, style: OverlayStyle, note: str) -> None:
        """Create the topics.

        Args:
            node: whose private namespace the topics are in.
            qos: of all topics that carry frames.
            model: name of the model, sent with the segments.
            style: of the overlay.
            note: a line of text for the overlay.
        """
        self._node = node
        self._model, self._style, self._note = model, style, note
        self._labels = node.create_publisher(Image, "~/labels", qos)
        self._segments = node.create_publisher(PanopticSegments, "~/segments", qos)
        self._semantic = node.create_publisher(Image, "~/semantic", qos)
        self._overlay = node.create_publisher(Image, "~/overlay", qos)
        self._label_info = node.create_publisher(LabelInfo, "~/label_info", LATCHED) if LabelInfo else None

    def publish(self, header: Header, image: CameraImage, result: PanopticResult) -> tuple[float, float]:
        """Send one result; returns the seconds spent on making messages and on publishing them."""
        start = time.perf_counter()
        messages: list[tuple[Publisher, object]] = [
            (self._labels, label_image(header, result.label_map)),
            (self._segments, segments_message(header, result, self._model)),
        ]
        if self._semantic.get_subscription_count():
            messages.append((self._semantic, label_image(header, result.semantic_map())))
        if self._overlay.get_subscription_count():
            overlay = draw_overlay(image.to_bgr(), result, self._style, self._note)
            messages.append((self._overlay, bgr_image(header, overlay)))
        filled = time.perf_counter()
        for publisher, message in messages:
            publisher.publish(message)
        return filled - start, time.perf_counter() - filled

    def publish_label_info(self, header: Header, categories: CategorySet) -> None:
        """Send the names of the category ids, once for all who come later; nothing where vision_msgs is missing."""
        if self._label_info is not None:
            self._label_info.publish(label_info(header, categories))

    def destroy(self) -> None:
        """Remove the topics."""
        for publisher in (self._labels, self._segments, self._semantic, self._overlay, self._label_info):
            if publisher is not None:
                self._node.destroy_publisher(publisher)
