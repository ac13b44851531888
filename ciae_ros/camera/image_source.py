# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Image sources: video files, image files, folders of them and camera devices, read frame by frame."""

from __future__ import annotations

from pathlib import Path

from ciae_ros.camera.frames import ImageSource, Report, SourceError
from ciae_ros.camera.image_folder import open_folder, open_image
from ciae_ros.camera.video import open_device, open_video
from ciae_ros.core.images.files import SUFFIXES


def open_source(source: str, report: Report) -> ImageSource:
    """Open a video file, an image file, a folder of images, which are sorted by name, or a device such as /dev/video0.

    Args:
        source: its path.
        report: called while the source is opened and read.

    Raises:
        SourceError: it does not exist, or nothing in it can be decoded.
    """
    path = Path(source)
    if not source or not path.exists():
        raise SourceError(
            f"source {source!r} does not exist: give a video, an image, a folder of images or /dev/videoN"
        )
    if path.is_dir():
        return open_folder(path, report)
    if path.is_char_device():
        return open_device(path)
    if path.suffix.lower() in SUFFIXES:
        return open_image(path, report)
    return open_video(path, report)
