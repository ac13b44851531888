# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The rendered drive as a bag: images, depth, calibrations, transforms, and the labels of a perfect network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import serialize_message

from ciae_ros.replay.bags.bag_writing import new_bag
from ciae_ros.replay.bags.definitions import typestore
from ciae_ros.spatial.rigid_transform import RigidTransform
from tests.rendering.drive import Drive, RenderedFrame, camera_pose
from tests.rendering.messages import camera_info, image, segments, transforms
from tests.rendering.truth import labelled_frame

CAMERA, BASE, MAP = "camera_optical", "base_link", "map"
"""Names of the frames."""
BASE_FROM_CAMERA = RigidTransform(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([0.4, 0.0, 1.2]))
TF_PERIOD = 20_000_000
"""Nanoseconds between transforms, whose stamps are not those of the images."""
START = 1_700_000_000_000_000_000
"""Stamp of the first frame in nanoseconds."""

TimedMessage = tuple[str, int, Any]
"""Topic, log time in nanoseconds, message."""


def stamp_of(time: float) -> int:
    """Return the stamp of a time of the drive."""
    return START + round(1e9 * time)


def drive_messages(drive: Drive, frames: Iterable[RenderedFrame], too_large: int = 0) -> Iterator[TimedMessage]:
    """Yield all messages of frames in the order of their times.

    Args:
        drive: has the camera.
        frames: frames in the order of their times.
        too_large: number of pixels by which the masks of the labels are dilated.
    """
    yield "/tf_static", START, transforms(START, (BASE, CAMERA, BASE_FROM_CAMERA))
    last_transform = None
    for frame in frames:
        stamp = stamp_of(frame.time)
        # From before the frame until after it.
        first = (stamp // TF_PERIOD) * TF_PERIOD
        for moment in (first, first + TF_PERIOD):
            if last_transform is None or moment > last_transform:
                last_transform = moment
                pose = camera_pose((moment - START) / 1e9) @ BASE_FROM_CAMERA.inverse()
                yield "/tf", moment, transforms(moment, (MAP, BASE, pose))
        yield from frame_messages(drive, frame, stamp, too_large)


def frame_messages(drive: Drive, frame: RenderedFrame, stamp: int, too_large: int) -> Iterator[TimedMessage]:
    """Yield the messages of a frame, except transforms."""
    millimetres = np.where(frame.depth < 60, np.rint(1e3 * frame.depth), 0).astype(np.uint16)
    yield "/camera/camera_info", stamp, camera_info(stamp, CAMERA, drive.camera)
    yield "/camera/image_raw", stamp, image(stamp, CAMERA, frame.image, "bgr8")
    yield "/depth/camera_info", stamp, camera_info(stamp, CAMERA, drive.camera)
    yield "/depth/image_rect_raw", stamp, image(stamp, CAMERA, millimetres, "16UC1")
    labelled = labelled_frame(frame, too_large)
    yield "/panoptic_node/camera_info", stamp, camera_info(stamp, CAMERA, drive.camera)
    yield "/panoptic_node/labels", stamp, image(stamp, CAMERA, labelled.labels, "16UC1")
    yield "/panoptic_node/segments", stamp, segments(stamp, CAMERA, labelled.labels, labelled.segments)


def write_bag(path: Path, messages: Iterable[TimedMessage]) -> None:
    """Write messages of ROS to an MCAP bag."""
    with new_bag(path, "mcap") as writer:
        connections: dict[str, Any] = {}
        for topic, time, message in messages:
            if topic not in connections:
                package, _, _ = type(message).__module__.split(".")[:3]
                kind = f"{package}/msg/{type(message).__name__}"
                connections[topic] = writer.add_connection(topic, kind, typestore=typestore())
            writer.write(connections[topic], time, serialize_message(message))
