# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Names of camera topics."""

from __future__ import annotations

COMPRESSED_SUFFIX = "/compressed"
"""Suffix of image_transport's topics of JPEG or PNG images."""


def camera_info_topic(topic: str) -> str:
    """Return the CameraInfo topic that belongs to an image topic, in the same namespace as in image_transport."""
    folder, slash, _ = topic.removesuffix(COMPRESSED_SUFFIX).rpartition("/")
    return f"{folder}{slash}camera_info"


def camera_namespace(topic: str) -> str:
    """Return the camera's namespace in an image topic: front for /front/image_raw/compressed."""
    path = topic.removesuffix(COMPRESSED_SUFFIX).strip("/~")
    folder, _, last = path.rpartition("/")
    return folder if folder and last.startswith("image") else path
