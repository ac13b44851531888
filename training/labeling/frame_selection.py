# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Selection of the frames of a sequence that are worth labelling: by time, and by change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from training.labeling.sources import SourceFrame

THUMBNAIL = (64, 36)
"""Width and height at which frames are compared."""
MIN_DIFFERENCE = 0.4
"""Minimum difference of a pixel that has changed, in standard deviations of the image."""
MIN_CONTRAST = 4.0
"""Minimum standard deviation of an image in grey levels."""


@dataclass(frozen=True)
class Selection:
    """Which frames are labelled.

    Raises:
        ValueError: a value is invalid.
    """

    interval: float = 0.5
    """Seconds between frames; 0: no minimum."""
    min_change: float = 0.02
    """Minimum share of the pixels that have changed since the previous selected frame; 0: near duplicates are labelled
    too."""

    def __post_init__(self) -> None:
        if not self.interval >= 0:
            raise ValueError(f"the interval must be at least 0 seconds, not {self.interval}")
        if not 0 <= self.min_change < 1:
            raise ValueError(f"the minimum change must be in 0..1, not {self.min_change}")


def select_frames(frames: Iterable[SourceFrame], selection: Selection, *, is_timed: bool) -> Iterator[SourceFrame]:
    """Yield the selected frames of a sequence; the first one is always selected.

    Args:
        frames: the frames in order.
        selection: the criteria.
        is_timed: whether the frames have times; if not, the interval does not apply.
    """
    next_time, previous = -np.inf, None
    last = -np.inf
    for frame in frames:
        if frame.seconds < last:
            # The clock was set back.
            next_time = -np.inf
        last = frame.seconds
        # A tenth of a microsecond, because seconds are rounded.
        if is_timed and frame.seconds < next_time - 1e-7:
            continue
        thumbnail = _thumbnail(frame.pixels)
        if previous is not None and selection.min_change and change(previous, thumbnail) < selection.min_change:
            continue
        next_time, previous = frame.seconds + selection.interval, thumbnail
        yield frame


def change(a: np.ndarray, b: np.ndarray) -> float:
    """Return the share of the pixels of two small images (h, w, 3) uint8 that differ, 0 to 1.

    Differences of the brightness and contrast of the whole images, as by a camera's exposure, do not count.
    """
    difference = np.abs(_normalized(a) - _normalized(b))
    return float(np.mean(difference.max(axis=-1) > MIN_DIFFERENCE))


def _normalized(image: np.ndarray) -> np.ndarray:
    """Return an image with the mean 0 and the standard deviation 1; of one without contrast, only noise remains."""
    values = image.astype(np.float32)
    return np.asarray((values - values.mean()) / max(float(values.std()), MIN_CONTRAST))


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    return cv2.resize(pixels, THUMBNAIL, interpolation=cv2.INTER_AREA)
