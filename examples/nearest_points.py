#!/usr/bin/env python3
# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Print, for every frame of panoptic_3d, the distance of the nearest point of each category.

python examples/nearest_points.py --ros-args -p points:=/panoptic_3d/points
"""

from __future__ import annotations

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2, PointField

KINDS = {PointField.UINT16: "u2", PointField.UINT32: "u4", PointField.FLOAT32: "f4"}


class NearestPoints(Node):
    """Reads the labelled points."""

    def __init__(self) -> None:
        super().__init__("nearest_points")
        topic = self.declare_parameter("points", "/panoptic_3d/points").value
        # Reliable, like the publisher of the node.
        self.create_subscription(PointCloud2, topic, self.print_nearest, QoSProfile(depth=2))

    def print_nearest(self, cloud: PointCloud2) -> None:
        """Process a frame."""
        points = read_points(cloud)
        distances = np.sqrt(points["x"] ** 2 + points["y"] ** 2 + points["z"] ** 2)
        nearest = []
        for category in np.unique(points["category_id"]):
            # Missing points of an organised cloud are NaN.
            distance = np.nanmin(distances[points["category_id"] == category], initial=np.inf)
            nearest.append(f"{category}: {distance:.2f} m")
        stamp = cloud.header.stamp
        print(f"{stamp.sec}.{stamp.nanosec:09d}  {', '.join(nearest)}", flush=True)


def read_points(cloud: PointCloud2) -> np.ndarray:
    """Return the points as a structured array, without a copy."""
    order = ">" if cloud.is_bigendian else "<"
    kind = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [order + KINDS[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    return np.frombuffer(cloud.data, kind)


def main() -> None:
    rclpy.init()
    try:
        rclpy.spin(NearestPoints())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
