# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The files of a bag as one. What is damaged is reported, and the rest is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ciae_ros.core.text_file import read_text
from ciae_ros.replay.bags import mcap_file, sqlite_file
from ciae_ros.replay.bags.compressed_files import (
    MAGIC,
    SUFFIX,
    DecompressedFiles,
    decompress_message,
    is_compressed,
)
from ciae_ros.replay.bags.mcap_file import McapFile
from ciae_ros.replay.bags.recorded import ROS1_HINT, BagFile, RecordedTopic
from ciae_ros.replay.bags.sqlite_file import SqliteFile
from ciae_ros.replay.bags.types import BagError

SUFFIXES = (".mcap", ".db3", f".mcap{SUFFIX}", f".db3{SUFFIX}")
METADATA = "metadata.yaml"


class RawMessage(NamedTuple):
    """A recorded message."""

    topic: RecordedTopic
    log_time: int
    """Nanoseconds."""
    data: bytes
    """CDR."""
    part: int
    """Index of the file."""


class Storage:
    """All files of a bag."""

    def __init__(self, path: Path, decompressed: DecompressedFiles) -> None:
        """Open the files.

        Args:
            path: path of a folder or a file.
            decompressed: decompressed copies of the bag's files; may be shared by several instances.

        Raises:
            BagError: nothing in it can be read.
        """
        self.path = path
        self._decompressed = decompressed
        self._problems: list[str] = []
        self._closing = ExitStack()
        self._opened: list[tuple[Path, BagFile]] = []
        try:
            self._open()
        except BaseException:
            self._closing.close()
            raise
        self.parts = [file for _, file in self._opened]
        """The files that can be read, in order."""
        self.topics = [topic for part in self.parts for topic in part.topics]
        self.other_encodings = {topic: name for part in self.parts for topic, name in part.other_encodings.items()}
        """Topics with messages that are not of ROS 2, and their encodings."""

    @property
    def problems(self) -> list[str]:
        """Problems with the bag found so far, one line each."""
        damaged = [
            f"{path} is truncated or corrupt and is read as far as possible: {'; '.join(file.problems)}"
            for path, file in self._opened
            if file.problems
        ]
        return [*self._problems, *damaged]

    def messages(self, topics: Sequence[str], part: int = 0, start: int | None = None) -> Iterator[RawMessage]:
        """Iterate over messages in the order of the files, and of the log times within each.

        Args:
            topics: topics of the messages.
            part: index of the first file.
            start: first log time in that file.
        """
        for number in range(part, len(self.parts)):
            file = self.parts[number]
            chosen = {one.id: one for one in file.topics if one.topic in topics}
            if not chosen:
                continue
            for topic_id, log_time, data in file.messages(chosen, start if number == part else None):
                yield RawMessage(chosen[topic_id], log_time, _decompressed(data), number)

    def close(self) -> None:
        """Close all files."""
        self._closing.close()

    def _open(self) -> None:
        if not self.path.exists():
            raise BagError(f"bag {self.path} does not exist")
        for path in self._paths():
            try:
                file = self._open_file(path)
            except BagError as error:
                self._problems.append(str(error))
                continue
            except OSError as error:
                self._problems.append(f"{path} cannot be read: {error.strerror or error}")
                continue
            self._closing.callback(file.close)
            self._opened.append((path, file))
        if not self._opened:
            raise BagError("; ".join(self._problems))

    def _paths(self) -> list[Path]:
        """Return the paths of the files in the order of recording."""
        if self.path.is_file():
            if self.path.suffix == ".bag":
                raise BagError(f"{self.path} is a bag of ROS 1: {ROS1_HINT}")
            if not self.path.name.endswith(SUFFIXES):
                raise BagError(f"{self.path} is not a bag: give a rosbag2 folder, or a file ({', '.join(SUFFIXES)})")
            return [self.path]
        there = _bag_files(self.path)
        try:
            listed = _listed_files(self.path / METADATA)
        except (OSError, ValueError) as error:
            if not there:
                raise BagError(f"{self.path} is not a bag: it has no file {' or '.join(SUFFIXES)}") from None
            self._problems.append(f"{self.path} is read without its {METADATA}: {error}")
            return there
        if missing := [file.name for file in listed if not file.exists()]:
            self._problems.append(f"{self.path} lacks files that its {METADATA} lists: {', '.join(missing)}")
        found = [file for file in listed if file.exists()]
        if not found:
            raise BagError("; ".join(self._problems) or f"{self.path} has no messages: its {METADATA} lists no file")
        return found

    def _open_file(self, path: Path) -> BagFile:
        if not is_compressed(path):
            return _open_uncompressed(path)
        copy, reason = self._decompressed.copy_of(path)
        if reason:
            self._problems.append(f"{path} is truncated or corrupt and is read as far as possible: {reason}")
        try:
            return _open_uncompressed(copy)
        except BagError as error:
            raise BagError(str(error).replace(str(copy), f"{path} (decompressed)")) from None


def _open_uncompressed(path: Path) -> BagFile:
    """Open a file by its content; a file that is neither is refused by the reader that its name asks for."""
    with path.open("rb") as file:
        head = file.read(16)
    is_sqlite = path.suffix == ".db3" and not head.startswith(mcap_file.MAGIC)
    return SqliteFile(path) if is_sqlite or head.startswith(sqlite_file.MAGIC) else McapFile(path)


def _bag_files(folder: Path) -> list[Path]:
    """Return the files of a folder in the recorder's numbering, bag_2 before bag_10."""
    found = {file.name: file for file in folder.iterdir() if file.name.endswith(SUFFIXES) and file.is_file()}
    # The recorder removes a file only after it has been compressed.
    half = {f"{name}{SUFFIX}" for name in found}
    files = [file for name, file in found.items() if name not in half and not name.startswith(".")]
    return sorted(files, key=lambda file: (len(file.name.partition(".")[0]), file.name))


def _listed_files(metadata: Path) -> list[Path]:
    """Return the files that a metadata.yaml lists.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not the metadata of a bag.
    """
    if not metadata.exists():
        raise ValueError(f"{metadata.name} is missing")
    try:
        content: Any = yaml.safe_load(read_text(metadata))
        names = content["rosbag2_bagfile_information"]["relative_file_paths"]
        # Older recorders wrote the path from the folder in which they ran.
        return [metadata.with_name(Path(str(name)).name) for name in names]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def _decompressed(data: bytes) -> bytes:
    if data[: len(MAGIC)] != MAGIC:
        return data
    try:
        return decompress_message(data)
    except ValueError:
        # Its frame is reported as unreadable.
        return b""
