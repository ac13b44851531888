# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The files of a bag as one: read by rosbags if they are intact, and recovered as far as possible if not."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import apsw
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.errors import ReaderError
from rosbags.rosbag2.storage_mcap import McapReader

from ciae_ros.replay.bags.recovery import CorruptSqlite, check_whole, open_corrupt_mcap
from ciae_ros.replay.bags.types import BagError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SUFFIXES = (".mcap", ".db3")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""First bytes of compressed messages; serialised ones begin with 0."""

READ_ERRORS = (
    *(ReaderError, AssertionError, EOFError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError),
    *(apsw.Error, zstd.ZstdError),
)
"""Exceptions that rosbags raises for corrupt files."""


class RawMessage(NamedTuple):
    """A recorded message."""

    connection: Any
    """rosbags' Connection: topic, msgtype, msgdef, digest."""
    log_time: int
    """Nanoseconds."""
    data: bytes
    """CDR."""
    part: int
    """Index of the file."""


@dataclass(frozen=True)
class Part:
    """A file of a bag."""

    reader: Any
    """A reader of rosbags for one file, or `CorruptSqlite`."""

    @property
    def is_sorted(self) -> bool:
        """Whether its messages are in the order of their log times."""
        return not isinstance(self.reader, CorruptSqlite) and not self._is_scanned

    def messages(self, connections: list[Any], start: int | None) -> Iterator[tuple[Any, int, bytes]]:
        """Iterate over the messages of some connections from a log time on."""
        if self._is_scanned:
            # rosbags' `messages` refuses a file without an index whose messages are slightly out of order.
            return self.reader.messages_scan(connections, start)
        return self.reader.messages(connections, start)

    @property
    def _is_scanned(self) -> bool:
        return isinstance(self.reader, McapReader) and not self.reader.chunks


class Storage:
    """All files of a bag."""

    def __init__(self, path: Path) -> None:
        """Open the files.

        Args:
            path: path of a folder or a file.

        Raises:
            BagError: nothing in it can be read.
        """
        self.path = path
        self.problems: list[str] = []
        """Problems with the bag, one line each."""
        self._files = ExitStack()
        self.parts = [Part(reader) for reader in self._open()]
        self.connections = [one for part in self.parts for one in part.reader.connections]

    def messages(self, topics: Sequence[str], part: int = 0, start: int | None = None) -> Iterator[RawMessage]:
        """Iterate over messages in the order of the files, and of the log times within each.

        Args:
            topics: topics of the messages.
            part: index of the first file.
            start: first log time in that file.
        """
        for number in range(part, len(self.parts)):
            chosen = [one for one in self.parts[number].reader.connections if one.topic in topics]
            if not chosen:
                continue
            from_time = start if number == part else None
            try:
                for connection, log_time, data in self.parts[number].messages(chosen, from_time):
                    payload = zstd.decompress(data) if bytes(data[:4]) == ZSTD_MAGIC else data
                    yield RawMessage(connection, log_time, payload, number)
            except READ_ERRORS as error:
                self._note(f"{self.path} is corrupt and was read up to that point: {_line(error)}")

    def close(self) -> None:
        """Close all files."""
        self._files.close()

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _open(self) -> list[Any]:
        if not self.path.exists():
            raise BagError(f"bag {self.path} does not exist")
        if self.path.is_file() and self.path.suffix not in SUFFIXES:
            raise BagError(f"{self.path} is not a bag: give a rosbag2 folder, or an .mcap or .db3 file")
        try:
            return self._open_intact(self.path)
        except READ_ERRORS as error:
            return self._open_one_by_one(error)

    def _open_intact(self, path: Path) -> list[Any]:
        for file in _files(path):
            check_whole(file)
        reader = Reader(path)
        reader.open()
        self._files.callback(reader.close)
        return list(getattr(reader.storage, "storages", [reader.storage]))

    def _open_one_by_one(self, why: Exception) -> list[Any]:
        files = _files(self.path)
        if not files:
            raise BagError(f"{self.path} is not a bag: it has no .mcap or .db3 file ({_line(why)})")
        if self.path.is_dir():
            self._note(f"{self.path} is read without its metadata.yaml: {_line(why)}")
        readers = []
        for file in files:
            try:
                readers += self._open_file(file)
            except READ_ERRORS as error:
                self._note(f"{file} cannot be read: {_line(error)}")
        if not readers:
            raise BagError("; ".join(self.problems))
        return readers

    def _open_file(self, file: Path) -> list[Any]:
        try:
            return self._open_intact(file)
        except READ_ERRORS as error:
            recovered = open_corrupt_mcap(file) if file.suffix == ".mcap" else CorruptSqlite(file)
            self._files.callback(recovered.close)
            self._note(f"{file} is truncated or corrupt and is read as far as possible: {_line(error)}")
            return [recovered]


def _files(path: Path) -> list[Path]:
    """Return the files of a folder in the recorder's numbering, bag_2 before bag_10; or the file itself."""
    if path.is_file():
        return [path]
    found = [file for file in path.iterdir() if file.suffix in SUFFIXES]
    return sorted(found, key=lambda file: (len(file.stem), file.stem))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
