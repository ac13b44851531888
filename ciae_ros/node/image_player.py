# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The image player, which publishes a video file, a folder of images or a device like a camera."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ciae_ros.camera.image_source import open_source
from ciae_ros.core.diagnostics import PlayerDiagnostics
from ciae_ros.node.diagnostics.status import OK, Finding, diagnostic_array, diagnostic_status
from ciae_ros.node.parameters.declaration import declare, refuse_unknown
from ciae_ros.node.parameters.errors import ParameterError
from ciae_ros.node.publishing.image_messages import bgr_image

DISCOVERY_TIMEOUT = Duration(seconds=10)
"""Maximum time to wait until reliable subscribers have received the first image."""
PARAMETERS: dict[str, tuple[Any, str]] = {
    "source": ("", "Video, image, folder of images, or /dev/videoN."),
    "rate": (0.0, "Images per second; 0: that of the source."),
    "loop": (False, "Play the source again at its end."),
    "compressed": (False, "Publish sensor_msgs/CompressedImage (JPEG)."),
    "frame_id": ("camera", "frame_id of the images."),
    "wait_for_subscribers": (0, "Number of subscribers to wait for before the first image."),
}
"""Default and description of each parameter."""


class ImagePlayer(Node):
    """Plays a source once or in a loop, and reports the number of published images on /diagnostics."""

    def __init__(self) -> None:
        """Create the node.

        Raises:
            ParameterError: a parameter is invalid.
        """
        super().__init__("image_player")
        try:
            values = self._declare_parameters()
        except ParameterError:
            self.destroy_node()
            raise
        self._source: str = values["source"]
        self._rate: float = values["rate"]
        self._loop: bool = values["loop"]
        self._compressed: bool = values["compressed"]
        self._frame_id: str = values["frame_id"]
        self._wait_for_subscribers: int = values["wait_for_subscribers"]
        message_type: type = CompressedImage if self._compressed else Image
        self._publisher: Publisher = self.create_publisher(message_type, "image", QoSProfile(depth=5))
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.published = 0

    def _declare_parameters(self) -> dict[str, Any]:
        values = {name: declare(self, name, default, _described(text)) for name, (default, text) in PARAMETERS.items()}
        refuse_unknown(self, PARAMETERS)
        return values

    def play(self) -> None:
        """Publish all frames at their times, or as fast as possible when late.

        Raises:
            SourceError: the source cannot be played.
        """
        source = open_source(self._source, self.get_logger().warning)
        self._wait()
        rate = self._rate if self._rate > 0 else source.rate
        self.get_logger().info(f"playing {self._source} at {rate:.3g} images/s")
        start = time.monotonic()
        while True:
            for frame in source.frames:
                # Without the parameter, images that are far apart in the source are so here.
                seconds = frame.number / rate if self._rate > 0 else frame.seconds
                if not source.is_live:
                    time.sleep(max(0.0, start + seconds - time.monotonic()))
                rclpy.spin_once(self, timeout_sec=0)
                self._publisher.publish(self._message(frame.pixels))
                self.published += 1
                if self.published == 1 and self._wait_for_subscribers:
                    # A discovered subscriber may not have discovered this publisher yet, but will request missed
                    # images.
                    self._publisher.wait_for_all_acked(DISCOVERY_TIMEOUT)
                    start = time.monotonic()
            if not self._loop:
                break
            start += seconds + 1 / rate
            source = open_source(self._source, lambda _: None)
        self._publish_count()

    def _wait(self) -> None:
        while self._publisher.get_subscription_count() < self._wait_for_subscribers:
            rclpy.spin_once(self, timeout_sec=0.05)

    def _message(self, frame: np.ndarray) -> Image | CompressedImage:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        if not self._compressed:
            return bgr_image(header, frame)
        _, jpeg = cv2.imencode(".jpg", frame)
        return CompressedImage(header=header, format="bgr8; jpeg compressed bgr8", data=jpeg.tobytes())

    def _publish_count(self) -> None:
        stamp = self.get_clock().now().to_msg()
        name = f"{self.get_fully_qualified_name()}: images"
        values = PlayerDiagnostics(self.published).to_values()
        finished = diagnostic_status(name, self._source, [Finding(OK, "finished")], values)
        self._diagnostics.publish(diagnostic_array(stamp, finished))
        self._diagnostics.wait_for_all_acked(Duration(seconds=2))
        self._publisher.wait_for_all_acked(Duration(seconds=2))
        self.get_logger().info(f"published {self.published} images")


def _described(text: str) -> ParameterDescriptor:
    return ParameterDescriptor(description=text)
