# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A camera process that publishes at the rates on its standard input, with lines of `RATE SECONDS`."""

from __future__ import annotations

import os
import sys
import time
from array import array

import cv2
import numpy as np
import rclpy
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from ciae_ros.node.lifecycle.signals import until_interrupted


def main(topic: str, width: int, height: int) -> int:
    """Publish until the input ends or Ctrl-C; prints the images of each line, and 0 once it has a subscriber."""
    rclpy.init()
    node = rclpy.create_node(f"benchmark_camera_{os.getpid()}")
    publisher = node.create_publisher(Image, topic, QoSProfile(depth=5))
    scene = smooth_scene(width, height)
    # Different pixels each time without computation, so that the camera uses little CPU time.
    images = [np.roll(scene, 40 * number, axis=1) for number in range(4)]
    with until_interrupted():
        while publisher.get_subscription_count() == 0:
            time.sleep(0.05)
        print(0, flush=True)
        for line in sys.stdin:
            rate, seconds = map(float, line.split())
            print(_publish(publisher, images, rate, seconds), flush=True)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


def smooth_scene(width: int, height: int) -> np.ndarray:
    """Create an image (height, width, 3) uint8 with smooth colours, because noise would be harder to segment."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def _publish(publisher: Publisher, images: list[np.ndarray], rate: float, seconds: float) -> int:
    start, sent = time.monotonic(), 0
    while sent < rate * seconds:
        time.sleep(max(0.0, start + sent / rate - time.monotonic()))
        publisher.publish(_stamped(images[sent % len(images)]))
        sent += 1
    return sent


def _stamped(pixels: np.ndarray) -> Image:
    height, width = pixels.shape[:2]
    data = array("B")
    data.frombytes(pixels.data.cast("B"))
    image = Image(height=height, width=width, encoding="bgr8", step=3 * width, data=data)
    image.header.stamp.sec, image.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
    return image


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
