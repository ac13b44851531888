# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A camera process, either well-behaved or misbehaving."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from array import array

import cv2
import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

RATE = 3.0
"""Images per second of a well-behaved camera."""
PHASE = 0.13
"""Share of the cycle for each of the six kinds of behaviour; the rest is for restarting."""
HEIGHT, WIDTH = 480, 640


class Camera(Node):
    """Publishes moving images until it is interrupted, and prints their number."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"camera_{os.getpid()}")
        self._publisher = self.create_publisher(Image, topic, QoSProfile(depth=100))
        self._random = np.random.default_rng(0)
        noise = self._random.integers(0, 256, (6, 8, 3), np.uint8)
        self._scene = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        self.sent = 0
        self.is_interrupted = False

    def wait_for_the_node(self) -> None:
        """Wait until the node receives the images."""
        while self._publisher.get_subscription_count() == 0 and not self.is_interrupted:
            time.sleep(0.1)
        # The node may discover this publisher later than vice versa.
        time.sleep(2.0)

    def behave(self, seconds: float, rate: float = RATE) -> None:
        """Publish good images."""
        for _ in self._beats(seconds, rate):
            self._publish(np.roll(self._scene, self.sent % WIDTH, axis=1), "bgr8")

    def change_size(self, seconds: float) -> None:
        for _ in self._beats(seconds, RATE):
            height, width = (int(n) for n in self._random.integers(16, 900, 2))
            self._publish(cv2.resize(self._scene, (width, height)), "bgr8")

    def change_encoding(self, seconds: float) -> None:
        for _ in self._beats(seconds, RATE):
            encoding = ("bgr8", "mono8", "bgra8", "yuv422")[self.sent % 4]
            channels = {"bgr8": 3, "mono8": 1, "bgra8": 4, "yuv422": 2}[encoding]
            self._publish(self._random.integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8), encoding)

    def send_invalid_messages(self, seconds: float) -> None:
        for _ in self._beats(seconds, RATE):
            self._publish(self._scene[: self.sent % 7], ("rgb8", "32FC1", "no such encoding")[self.sent % 3], WIDTH)

    def be_silent(self, seconds: float) -> None:
        for _ in self._beats(seconds, RATE):
            pass

    def finish(self) -> None:
        """Wait for the delivery of all images, and print their number."""
        self._publisher.wait_for_all_acked(Duration(seconds=5))
        print(self.sent, flush=True)

    def _beats(self, seconds: float, rate: float) -> itertools.takewhile[int]:
        start = time.monotonic()

        def goes_on(beat: int) -> bool:
            time.sleep(max(0.0, start + beat / rate - time.monotonic()))
            return time.monotonic() - start < seconds and not self.is_interrupted

        return itertools.takewhile(goes_on, itertools.count())

    def _publish(self, pixels: np.ndarray, encoding: str, step: int | None = None) -> None:
        data = array("B", np.ascontiguousarray(pixels).tobytes())
        image = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, data=data)
        image.step = pixels.shape[1] * pixels.shape[2] if step is None else step
        now = time.time_ns()
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(now, 10**9)
        image.header.frame_id = "camera"
        self._publisher.publish(image)
        self.sent += 1


def main(kind: str, topic: str, cycle: float) -> int:
    """Run a camera until it is interrupted: `good` continuously, `bad` once with all kinds of behaviour.

    The bad one starts at a multiple of `cycle` seconds, so that every period of that length is equal.
    """
    rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    camera = Camera(topic)

    def interrupt(number: int, frame: object) -> None:
        camera.is_interrupted = True

    signal.signal(signal.SIGINT, interrupt)
    camera.wait_for_the_node()
    if kind == "good":
        camera.behave(float("inf"))
    else:
        seconds = PHASE * cycle
        camera.be_silent(cycle - time.time() % cycle)
        camera.behave(seconds)
        camera.behave(seconds, rate=10 * RATE)
        camera.change_size(seconds)
        camera.change_encoding(seconds)
        camera.send_invalid_messages(seconds)
        camera.be_silent(seconds)
    camera.finish()
    camera.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
