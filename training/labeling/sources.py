# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Sources of images to label: topics of bags, videos, and folders of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ciae_ros.camera.frames import Report, SourceError
from ciae_ros.camera.image_source import open_source
from ciae_ros.replay.bags.bag import open_bag
from ciae_ros.replay.bags.image_topics import choose_topics, describe_unread
from ciae_ros.replay.bags.types import BagError

BAG_SUFFIXES = (".mcap", ".db3")


class SourceFrame(NamedTuple):
    """A frame of a sequence."""

    number: int
    """Position in the sequence; unreadable frames count."""
    seconds: float
    """Time since the first frame; smaller than that of the frame before if the clock was set back."""
    stamp: int | None
    """Stamp of the message's header in nanoseconds; None for files."""
    pixels: np.ndarray
    """(H, W, 3) uint8 BGR."""
    file_name: str | None = None
    """Name of the image file; None for a frame of a bag or video."""


@dataclass(frozen=True)
class ImageSequence:
    """Consecutive images of one camera, which can be read several times."""

    name: str
    """Unique among the sequences; usable as the name of a file."""
    path: Path
    bag: str | None
    """Name of the bag; None for a video or a folder."""
    topic: str | None
    """Topic in the bag."""
    is_timed: bool
    """Whether the images have times; those of a folder have none."""

    def frames(self, note: Report, problem: Report) -> Iterator[SourceFrame]:
        """Iterate over the frames that can be read.

        Args:
            note: called with a line for what is assumed, or left out of a folder or a video.
            problem: called with a line for what a bag has lost.

        Raises:
            BagError or SourceError: nothing can be read.
        """
        return self._from_bag(problem) if self.topic is not None else self._from_files(note)

    def _from_bag(self, problem: Report) -> Iterator[SourceFrame]:
        assert self.topic is not None
        broken, first = 0, None
        with open_bag(self.path) as bag:
            for frame in bag.frames(self.topic):
                if frame.image is None:
                    broken += 1
                    continue
                stamp = frame.stamp or frame.log_time
                first = stamp if first is None else first
                yield SourceFrame(frame.key.index, 1e-9 * (stamp - first), frame.stamp, frame.image.to_bgr())
            for line in bag.problems:
                problem(line)
        if broken:
            problem(f"{self.path}: {broken} unreadable images on {self.topic} are left out")

    def _from_files(self, note: Report) -> Iterator[SourceFrame]:
        source = open_source(str(self.path), note)
        for frame in source.frames:
            name = source.names[frame.number] if source.names else None
            yield SourceFrame(frame.number, frame.seconds, None, frame.pixels, name)


@dataclass(frozen=True)
class Sources:
    """Sequences, and what cannot be read."""

    sequences: list[ImageSequence] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """One line for each source that cannot be read."""
    notes: list[str] = field(default_factory=list)


def find_sequences(paths: Sequence[Path], topics: Sequence[str] | None = None) -> Sources:
    """Find the sequences in bags, videos, images and folders.

    Args:
        paths: bags (folders or .mcap and .db3 files), videos, images, and folders of images.
        topics: image topics of the bags; None for all that a camera may have published.
    """
    found = Sources()
    names: set[str] = set()
    for path in dict.fromkeys(path.resolve() for path in paths):
        try:
            _add(found, path, topics, names)
        except (BagError, SourceError, OSError) as error:
            found.problems.append(str(error))
    return found


def _add(found: Sources, path: Path, topics: Sequence[str] | None, names: set[str]) -> None:
    if path.is_char_device():
        raise SourceError(f"{path} is a camera: record a bag or a video first")
    if not _is_bag(path):
        # Opened to find out whether it can be read.
        next(iter(open_source(str(path), lambda _: None).frames))
        found.sequences.append(ImageSequence(_unique(path.stem, names), path, None, None, not path.is_dir()))
        return
    with open_bag(path) as bag:
        chosen = choose_topics(bag, topics)
        found.notes.extend(describe_unread([chosen]))
        for topic in chosen.topics:
            name = bag.name if len(chosen.topics) == 1 else f"{bag.name}_{topic.strip('/').replace('/', '_')}"
            found.sequences.append(ImageSequence(_unique(name, names), path, bag.name, topic, True))


def _is_bag(path: Path) -> bool:
    if path.is_dir():
        return (path / "metadata.yaml").exists() or any(_has_bag_suffix(file) for file in path.iterdir())
    return _has_bag_suffix(path)


def _has_bag_suffix(path: Path) -> bool:
    return any(suffix in BAG_SUFFIXES for suffix in path.suffixes)


def _unique(name: str, names: set[str]) -> str:
    """Return a name without characters that are special in paths, numbered if it is taken."""
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name) or "images"
    unique = next(one for one in _numbered(plain) if one not in names)
    names.add(unique)
    return unique


def _numbered(name: str) -> Iterable[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1
