# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What camera topics are called."""

from __future__ import annotations

COMPRESSED_SUFFIX = "/compressed"
"""image_transport's name for a topic of JPEG or PNG images beside the raw ones."""


def info_topic_beside(topic: str) -> str:
    """Topic of the sensor_msgs/CameraInfo that belongs to an image topic: beside it, as image_transport has it."""
    folder, slash, _ = topic.removesuffix(COMPRESSED_SUFFIX).rpartition("/")
    return f"{folder}{slash}camera_info"


def namespace_of(topic: str) -> str:
    """The topic without what all camera topics have: /front/image_raw/compressed is front."""
    path = topic.removesuffix(COMPRESSED_SUFFIX).strip("/~")
    folder, _, last = path.rpartition("/")
    return folder if folder and last.startswith("image") else path
