# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Frames, ground truth and errors of bags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ciae_ros.camera.camera_image import CameraImage

UNREADABLE = "unreadable message"
NO_RESPONSE = "no answer"
REPEATED_STAMP = "repeated stamp"
"""Problems of frames: the message is corrupt and its stamp unknown; the node has not responded; the node's responses
cannot be told apart, because several frames have this stamp."""


@dataclass(frozen=True, order=True)
class FrameKey:
    """Identifies a frame of a bag."""

    bag: str
    """Name of the bag."""
    topic: str
    index: int
    """Index of the message on its topic, in the order of the bag."""


@dataclass(frozen=True)
class BagFrame:
    """A message on an image topic."""

    key: FrameKey
    stamp: int
    """Stamp of the header in nanoseconds."""
    log_time: int
    """Time of recording in nanoseconds."""
    frame_id: str
    image: CameraImage | None
    """None if the message has no usable image."""
    problem: str = ""
    """Why there is no image, in the categories of the node's drop counters."""
    explanation: str = ""
    """The problem in one line."""
    decode: float = 0.0
    """Seconds for checking and converting the message."""
    is_stamp_unique: bool = True
    """Whether no other frame of the topic is known to have the same stamp."""


@dataclass(frozen=True)
class TrueSegment:
    """A segment of the ground truth."""

    id: int
    """Value of its pixels."""
    category_id: int
    is_crowd: bool = False
    track_id: int = 0
    """Id of the object in all frames of the topic; 0 if it has none."""

    @classmethod
    def from_coco(cls, entry: Mapping[str, Any]) -> TrueSegment:
        """Read an entry of `segments_info` in COCO's panoptic format, which may have a `track_id`.

        Raises:
            KeyError: the id or the category is missing.
            ValueError: the track is not a whole number from 1; 0 and None stand for none.
        """
        track_id = entry.get("track_id") or 0
        if not isinstance(track_id, int) or track_id < 0:
            raise ValueError(f"the track_id of segment {entry['id']} is {track_id!r}, not a whole number from 1")
        return cls(entry["id"], entry["category_id"], bool(entry.get("iscrowd", 0)), track_id)


@dataclass(frozen=True)
class TrueSegments:
    """The ground truth of one frame."""

    ids: np.ndarray
    """(H, W) int32 segment ids; 0 is void: pixels without a class, for which no prediction counts as wrong."""
    segments: tuple[TrueSegment, ...]


class GroundTruth(Protocol):
    """A source of the ground truth of frames."""

    def find(self, frame: BagFrame) -> TrueSegments | None:
        """Find the ground truth of a frame; None if there is none.

        Raises:
            GroundTruthError: it is corrupt, or does not match the image or the model's categories.
        """
        ...


class ReplayError(Exception):
    """An error that ends a command; the one-line message states the problem and the remedy."""


class GroundTruthError(ReplayError):
    """Ground truth that cannot be used."""


class BagError(ReplayError):
    """A bag or topic that cannot be read."""
