# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reception of the transforms on /tf and /tf_static."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from tf2_msgs.msg import TFMessage

from ciae_ros.node.stamps import nanoseconds
from ciae_ros.spatial.rigid_transform import RigidTransform
from ciae_ros.spatial.transform_buffer import TransformBuffer

CHANGING = QoSProfile(depth=100)
STATIC = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""As tf2's listeners."""


class TransformListener:
    """Fills a buffer with the transforms that are published."""

    def __init__(self, node: Node, buffer: TransformBuffer, on_change: Callable[[], None]) -> None:
        """Subscribe.

        Args:
            node: node with the subscriptions.
            buffer: gets the transforms.
            on_change: called after each message.
        """
        self._node, self._buffer, self._on_change = node, buffer, on_change
        self._refused: set[str] = set()
        self._subscriptions: list[Subscription] = [
            node.create_subscription(TFMessage, "/tf", lambda message: self._take(message, static=False), CHANGING),
            node.create_subscription(TFMessage, "/tf_static", lambda message: self._take(message, static=True), STATIC),
        ]

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _take(self, message: TFMessage, static: bool) -> None:
        for one in message.transforms:
            rotation, translation = one.transform.rotation, one.transform.translation
            try:
                transform = RigidTransform.from_quaternion(
                    (rotation.x, rotation.y, rotation.z, rotation.w), (translation.x, translation.y, translation.z)
                )
                self._buffer.add(
                    one.header.frame_id, one.child_frame_id, nanoseconds(one.header.stamp), transform, static
                )
            except ValueError as error:
                if one.child_frame_id not in self._refused:
                    self._refused.add(one.child_frame_id)
                    self._node.get_logger().warning(f"a transform of frame {one.child_frame_id!r} is ignored: {error}")
        self._on_change()
