# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Sources of images: what all of them have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Report = Callable[[str], object]
"""Called with a line for the user: what a source leaves out or assumes, and why."""


class SourceError(ValueError):
    """The source cannot be read; the one-line message states the reason."""


class Frame(NamedTuple):
    """A frame of a source."""

    number: int
    """Position in the source, from 0; images that are left out count."""
    seconds: float
    """Time since the first frame, ascending."""
    pixels: np.ndarray
    """(H, W, 3) uint8 BGR. Frames may differ in size."""


@dataclass(frozen=True)
class ImageSource:
    """An iterable of frames, which can be read once."""

    frames: Iterator[Frame]
    """Raises SourceError at the end if no frame could be decoded."""
    rate: float
    """Frames per second of the source."""
    length: int
    """Number of frames; 0 if unknown, as for a camera."""
    is_live: bool
    """Whether the source is a camera, which determines the pace."""
    names: tuple[str, ...] = ()
    """Names of the image files, in the order of the frames."""
