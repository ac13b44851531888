#!/usr/bin/env python3
# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Print the things in every frame of panoptic_node, with the areas counted in the label image.

python examples/consume_labels.py --ros-args -p outputs:=/panoptic_node/front    # the front camera of several
"""

from __future__ import annotations

import numpy as np
import rclpy
from ciae_msgs.msg import PanopticSegments
from message_filters import Subscriber, TimeSynchronizer
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

QOS = QoSProfile(depth=2)
"""Reliable, like the publishers of the node."""


class LabelConsumer(Node):
    """Matches each label image with its segments."""

    def __init__(self) -> None:
        super().__init__("consume_labels")
        outputs = self.declare_parameter("outputs", "/panoptic_node").value
        labels = Subscriber(self, Image, f"{outputs}/labels", qos_profile=QOS)
        segments = Subscriber(self, PanopticSegments, f"{outputs}/segments", qos_profile=QOS)
        # Both have exactly the stamp of the camera's image.
        self._pairs = TimeSynchronizer([labels, segments], QOS.depth)
        self._pairs.registerCallback(self.print_things)

    def print_things(self, labels: Image, table: PanopticSegments) -> None:
        """Process a frame."""
        ids = label_map(labels)
        things = [
            f"{segment.category_name} {segment.id}: {np.count_nonzero(ids == segment.id)} px"
            for segment in table.segments
            if segment.is_thing
        ]
        stamp = table.header.stamp
        print(f"{stamp.sec}.{stamp.nanosec:09d}  {', '.join(things) or 'no things'}", flush=True)


def label_map(labels: Image) -> np.ndarray:
    """Return the segment id of each pixel (height, width), without a copy."""
    pixels = np.frombuffer(labels.data, ">u2" if labels.is_bigendian else "<u2")
    return pixels.reshape(labels.height, labels.step // 2)[:, : labels.width]


def main() -> None:
    rclpy.init()
    try:
        rclpy.spin(LabelConsumer())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
