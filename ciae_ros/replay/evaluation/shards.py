# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Shards: independent parts of a run, for resuming it and for distributing it over machines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

SHARD_FRAMES = 200
"""Number of frames of a shard: an interruption loses at most this many."""


@dataclass(frozen=True)
class Shard:
    """Consecutive frames of one topic of one bag."""

    path: Path
    """Path of the bag."""
    bag: str
    """Name of the bag in the run."""
    topic: str
    start: int
    """Index of the first frame on its topic."""
    stop: int
    """Index after the last frame."""

    @property
    def name(self) -> str:
        """File name of the shard, which is the same in every run."""
        digest = hashlib.sha256(f"{self.bag}\n{self.topic}".encode()).hexdigest()[:10]
        return f"{digest}-{self.start:08d}-{self.stop:08d}"


def split_into_shards(path: Path, bag: str, topic: str, frames: int, shard_frames: int = SHARD_FRAMES) -> list[Shard]:
    """Divide all frames of a topic into shards."""
    return [
        Shard(path, bag, topic, start, min(start + shard_frames, frames)) for start in range(0, frames, shard_frames)
    ]
