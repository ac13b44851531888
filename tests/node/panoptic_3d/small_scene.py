# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A small scene: a wall 2 m ahead, on the left of which a thing is labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
from ciae_msgs.msg import PanopticSegments
from sensor_msgs.msg import CameraInfo, Image

from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.point_layout import LabelledSegment
from tests.node.panoptic_3d.harness import SceneClient
from tests.rendering.messages import camera_info, image, segments

HEIGHT, WIDTH = 48, 64
CAMERA = CameraModel(HEIGHT, WIDTH, np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]]), np.zeros(0))
FRAME = "camera"
MS = 1_000_000
SECOND = 1_000_000_000
START = 100 * SECOND
LABELS = np.full((HEIGHT, WIDTH), 1, np.uint16)
LABELS[10:40, 5:30] = 2
SEGMENTS = [
    LabelledSegment(1, 7, "wall", False, 1.0, (0, 0, WIDTH, HEIGHT), (0, 0, 0)),
    LabelledSegment(2, 9, "box", True, 0.8, (5, 10, 25, 30), (0, 0, 0)),
]
TOPICS = (
    ("/panoptic_node/camera_info", CameraInfo),
    ("/panoptic_node/labels", Image),
    ("/panoptic_node/segments", PanopticSegments),
    ("/depth/camera_info", CameraInfo),
    ("/depth/image", Image),
)

Message = tuple[str, int, Any]
"""Topic, time in nanoseconds, message."""


def depth_at(metres: float, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A depth image of a wall in millimetres."""
    return np.full((height, width), round(1000 * metres), np.uint16)


def label_messages(stamp: int) -> list[Message]:
    """Labels, segments and calibration."""
    return [
        ("/panoptic_node/camera_info", stamp, camera_info(stamp, FRAME, CAMERA)),
        ("/panoptic_node/segments", stamp, segments(stamp, FRAME, LABELS, SEGMENTS)),
        ("/panoptic_node/labels", stamp, image(stamp, FRAME, LABELS, "16UC1")),
    ]


def depth_messages(stamp: int, metres: float = 2.0, frame: str = FRAME) -> list[Message]:
    """A depth image and its calibration."""
    return [
        ("/depth/camera_info", stamp, camera_info(stamp, frame, CAMERA)),
        ("/depth/image", stamp, image(stamp, frame, depth_at(metres), "16UC1")),
    ]


def send(client: SceneClient, messages: list[Message]) -> None:
    """Publish messages one after the other."""
    for topic, _, message in messages:
        client.publish(topic, message)
        client.serve_shortly()


def connect(client: SceneClient, wait_for_answer: bool = True) -> None:
    """Connect all topics by a first frame, which is answered, or dropped if something is missing."""
    client.advertise(*TOPICS)
    client.wait_for_subscribers()
    if wait_for_answer:
        client.publish_until_answered([*depth_messages(SECOND), *label_messages(SECOND)], SECOND)
    else:
        # Subscriptions may be discovered before they have discovered their publishers.
        client.wait_quietly(1.0)
    client.forget()
