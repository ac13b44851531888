# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What the parts of an evaluation hand to each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ciae_ros.camera.camera_image import CameraImage
from ciae_ros.inference import CategorySet

UNREADABLE = "unreadable message"
NO_ANSWER = "no answer"
"""Problems of frames: the message is damaged and its stamp unknown; the node has not answered."""


@dataclass(frozen=True, order=True)
class FrameKey:
    """Which frame of which drive."""

    bag: str
    """The bag's name."""
    topic: str
    index: int
    """The message's number on its topic, from 0, in the order of the bag."""


@dataclass(frozen=True)
class BagFrame:
    """One message on a topic of images."""

    key: FrameKey
    stamp: int
    """Of the header, in nanoseconds."""
    log_time: int
    """When it was recorded, in nanoseconds."""
    frame_id: str
    image: CameraImage | None
    """None where the message holds no usable image."""
    problem: str = ""
    """Kind of the fault where there is no image, as the node counts it."""
    explanation: str = ""
    """The fault in one line."""
    decode: float = 0.0
    """Seconds that checking and converting the message took."""


@dataclass(frozen=True)
class TrueSegment:
    """One segment of the ground truth."""

    id: int
    """Its pixels' value."""
    category_id: int
    is_crowd: bool = False


@dataclass(frozen=True)
class TrueSegments:
    """The ground truth of one frame."""

    ids: np.ndarray
    """(H, W) int32 segment ids; 0 is void: belongs to no class, and nothing said about it is wrong."""
    segments: tuple[TrueSegment, ...]


class GroundTruth(Protocol):
    """Where the truth of frames comes from."""

    def find(self, frame: BagFrame) -> TrueSegments | None:
        """The truth of a frame, None where there is none.

        Raises:
            GroundTruthError: there is one, and it is damaged or does not fit the image or the model's categories.
        """
        ...


class ReplayError(Exception):
    """What a command ends with; the message says what was wrong and what to do, in one line."""


class GroundTruthError(ReplayError):
    """Ground truth that cannot be used."""


class BagError(ReplayError):
    """A bag or topic that cannot be read."""


@dataclass(frozen=True)
class Run:
    """An evaluation that has been made, as its folder holds it."""

    folder: Path
    about: dict[str, Any]
    """run.json."""
    categories: CategorySet
    frames: pd.DataFrame
    segments: pd.DataFrame
    confusion: pd.DataFrame


@dataclass(frozen=True)
class FramePictures:
    """What a report shows of one frame."""

    image: np.ndarray
    """(H, W, 3) uint8 BGR."""
    prediction: np.ndarray
    """(H, W, 3) uint8 BGR: each segment in its own colour, unlabelled black."""
    truth: np.ndarray | None
    """The same of the ground truth, void black; None where there is none."""
    error: np.ndarray | None
    """(H, W, 3) uint8 BGR: where the class is wrong, right, void; None without ground truth."""


class PictureSource(Protocol):
    """Finds the pictures of a frame of a run again."""

    def picture(self, key: FrameKey) -> FramePictures | None:
        """None where the frame cannot be read again."""
        ...
