# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Image sources: video files, folders of images and camera devices, read frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""Suffixes of images in a folder."""
FOLDER_RATE = 10.0
"""Default rate of a folder in images per second."""


class SourceError(ValueError):
    """The source cannot be read; the one-line message states the reason."""


@dataclass(frozen=True)
class ImageSource:
    """An iterable of frames (H, W, 3) uint8 BGR, which can be read once."""

    frames: Iterator[np.ndarray]
    """Raises SourceError for an image in a folder that cannot be decoded."""
    rate: float
    """Frames per second of the source."""
    length: int
    """Number of frames; 0 if unknown, as for a camera."""
    is_live: bool
    """Whether the source is a camera, which determines the pace."""
    names: tuple[str, ...] = ()
    """Names of a folder's files, in the order of the frames."""


def open_source(source: str) -> ImageSource:
    """Open a video file, a folder of images, which are sorted by name, or a device such as /dev/video0.

    Raises:
        SourceError: it does not exist, or nothing in it can be decoded.
    """
    path = Path(source)
    if not source or not path.exists():
        raise SourceError(f"source {source!r} does not exist: give a video file, a folder of images or /dev/videoN")
    if path.is_dir():
        return _open_folder(path)
    video = cv2.VideoCapture(source)
    if not video.isOpened():
        raise SourceError(f"{source} is not a video that OpenCV can decode, or the device is busy")
    is_live = path.is_char_device()
    rate = video.get(cv2.CAP_PROP_FPS)
    length = 0 if is_live else max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
    return ImageSource(_frames(video), rate if rate > 0 else FOLDER_RATE, length, is_live)


def _open_folder(path: Path) -> ImageSource:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise SourceError(f"the folder {path} contains no image ({', '.join(sorted(SUFFIXES))})")
    names = tuple(file.name for file in files)
    return ImageSource((_read(file) for file in files), FOLDER_RATE, len(files), is_live=False, names=names)


def _read(file: Path) -> np.ndarray:
    image = cv2.imread(str(file))
    if image is None:
        raise SourceError(f"{file} is not an image that OpenCV can decode")
    return image


def _frames(video: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while True:
        there, frame = video.read()
        if not there:
            video.release()
            return
        yield frame
