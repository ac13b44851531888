# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Input images of the benchmarks, read without ROS."""

from __future__ import annotations

import sys
from itertools import islice

import cv2
import numpy as np

from ciae_ros.camera.frames import SourceError
from ciae_ros.camera.image_source import open_source
from ciae_ros.demo.clip import find_demo_clip


def read_images(source: str | None, count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Read the first images of a source, resized to one size.

    Args:
        source: video file or folder of images; the demo's street clip if None.
        count: maximum number of images.
        size: height and width of the resized images.

    Returns:
        Contiguous images (H, W, 3) uint8 RGB.

    Raises:
        SourceError: the source has no image.
    """
    opened = open_source(source or find_demo_clip(), lambda line: print(line, file=sys.stderr))
    images = [frame.pixels for frame in islice(opened.frames, count)]
    if not images:
        raise SourceError(f"no image can be read from {source}: give a video file or a folder of images with --source")
    height, width = size
    return [cv2.cvtColor(cv2.resize(image, (width, height)), cv2.COLOR_BGR2RGB) for image in images]
