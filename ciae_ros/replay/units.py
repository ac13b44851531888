# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A run in pieces that do not need one another: for going on after a stop, and for spreading over machines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

UNIT_FRAMES = 200
"""Frames of a unit: a stop loses no more, and a machine of a fleet takes so many at once."""


@dataclass(frozen=True)
class Unit:
    """Neighbouring frames of one topic of one bag."""

    path: Path
    """Of the bag."""
    bag: str
    """Its name in the run."""
    topic: str
    start: int
    """Number of the first frame on its topic."""
    stop: int
    """Number after the last one's."""

    @property
    def name(self) -> str:
        """The same for the same unit in every run; fit for a file name."""
        digest = hashlib.sha256(f"{self.bag}\n{self.topic}".encode()).hexdigest()[:10]
        return f"{digest}-{self.start:08d}-{self.stop:08d}"


def units_of(path: Path, bag: str, topic: str, frames: int, unit_frames: int = UNIT_FRAMES) -> list[Unit]:
    """All frames of a topic, in units."""
    return [Unit(path, bag, topic, start, min(start + unit_frames, frames)) for start in range(0, frames, unit_frames)]
