# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Videos and camera devices as sources of frames.

OpenCV decodes what its FFmpeg does, at 8 bits, and turns phone videos upright. Frames have the timestamps of the file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import cv2

from ciae_ros.camera.frames import Frame, ImageSource, Report, SourceError

DEFAULT_RATE = 25.0
"""Assumed frames per second of a video that states none."""
MAX_RATE = 500.0
"""Frames per second above which a stated rate is taken for an error."""
FRAMES_EXAMINED = 10
"""Frames whose timestamps are compared with the stated rate before the video is read."""
MAX_START = 1e9
"""Timestamp of a first frame in seconds above which the file has no timestamps."""


@dataclass(frozen=True)
class _Timing:
    """Times of the frames of a video."""

    rate: float
    """Frames per second."""
    has_timestamps: bool
    num_frames: int
    """Stated, or estimated by FFmpeg from the duration; 0 if unknown."""
    duration: float
    """Seconds; 0 if unknown."""


def open_video(path: Path, report: Report) -> ImageSource:
    """Open a video file.

    Raises:
        SourceError: OpenCV cannot decode it.
    """
    timing = _examine(path, report)
    return ImageSource(_frames(path, timing, report), timing.rate, timing.num_frames, is_live=False)


def open_device(path: Path) -> ImageSource:
    """Open a camera device.

    Raises:
        SourceError: it is busy, or not a camera.
    """
    device = cv2.VideoCapture(str(path))
    if not device.isOpened():
        raise SourceError(f"{path} is not a camera that OpenCV can read, or it is busy")
    rate = device.get(cv2.CAP_PROP_FPS)
    rate = rate if 0 < rate <= MAX_RATE else DEFAULT_RATE
    return ImageSource(_device_frames(device, rate), rate, 0, is_live=True)


def _open(path: Path) -> cv2.VideoCapture:
    with _quiet():
        # Absolute: FFmpeg takes what precedes a colon for a protocol.
        video = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    if not video.isOpened():
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty")
        raise SourceError(f"{path} is not a video that OpenCV can decode, or it is truncated")
    video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return video


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV and FFmpeg from writing several lines for a fault, which is reported in one."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if not hasattr(cv2, "setLogLevel"):
        # Some builds of OpenCV do not have it.
        yield
        return
    level = cv2.getLogLevel()
    cv2.setLogLevel(0)
    try:
        yield
    finally:
        cv2.setLogLevel(level)


def _examine(path: Path, report: Report) -> _Timing:
    """Compare the stated rate with the timestamps of the first frames."""
    video = _open(path)
    stated, count = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
    times: list[float] = []
    while len(times) < FRAMES_EXAMINED and video.grab():
        times.append(1e-3 * video.get(cv2.CAP_PROP_POS_MSEC))
    video.release()
    is_plausible = 0 < stated <= MAX_RATE
    num_frames = round(count) if 0 < count < 1e9 else 0
    duration = num_frames / stated if stated > 0 else 0.0
    intervals = [after - before for before, after in pairwise(times)]
    if len(times) < 2:
        return _Timing(stated if is_plausible else DEFAULT_RATE, True, num_frames, duration)
    if abs(times[0]) > MAX_START or min(intervals) <= 0 or median(intervals) < 1 / MAX_RATE:
        rate = stated if is_plausible else DEFAULT_RATE
        report(f"{path} has no usable timestamps: {rate:.3g} images/s are assumed, unless a rate is given")
        return _Timing(rate, False, num_frames, duration)
    rate = 1 / median(intervals)
    if not is_plausible:
        report(f"{path} states {stated:.3g} images/s, but its timestamps {rate:.3g}, which are used")
    return _Timing(rate, True, num_frames, duration)


def _frames(path: Path, timing: _Timing, report: Report) -> Iterator[Frame]:
    video = _open(path)
    number, start, seconds = 0, 0.0, 0.0
    is_regular = True
    while True:
        there, pixels = video.read()
        if not there:
            break
        stamp = 1e-3 * video.get(cv2.CAP_PROP_POS_MSEC)
        if number == 0:
            start = stamp
        elif timing.has_timestamps and math.isfinite(stamp) and stamp - start > seconds:
            seconds = stamp - start
        else:
            seconds += 1 / timing.rate
            if timing.has_timestamps and is_regular:
                is_regular = False
                report(f"{path} repeats a timestamp at image {number}: {timing.rate:.3g} images/s are assumed there")
        yield Frame(number, seconds, pixels)
        number += 1
    video.release()
    if number == 0:
        raise SourceError(f"no image in {path} can be decoded")
    # Without an index FFmpeg estimates the number of frames, but it knows the duration.
    if number < timing.num_frames and seconds + 2 / timing.rate < timing.duration:
        report(f"{path} is truncated or damaged: {number} of about {timing.num_frames} images could be decoded")


def _device_frames(device: cv2.VideoCapture, rate: float) -> Iterator[Frame]:
    number = 0
    while True:
        there, pixels = device.read()
        if not there:
            device.release()
            return
        yield Frame(number, number / rate, pixels)
        number += 1
