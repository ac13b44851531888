"""The files of a bag as one: through rosbags where they are whole, and as far as they can be read where not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.rosbag2 import Reader
from rosbags.rosbag2.errors import ReaderError

from ciae_ros.replay.bags.damaged_files import DamagedSqlite, open_damaged_mcap
from ciae_ros.replay.types import BagError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SUFFIXES = (".mcap", ".db3")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""Serialised messages begin otherwise (with 0)."""

READ_ERRORS = (ReaderError, AssertionError, EOFError, IndexError, KeyError, OSError, TypeError, ValueError, zstd.ZstdError)
"""What rosbags lets through for damaged files."""


class RawMessage(NamedTuple):
    """A message as it was recorded."""

    connection: Any
    """rosbags' Connection: topic, msgtype, msgdef, digest."""
    log_time: int
    """Nanoseconds."""
    data: bytes
    """CDR."""


class Storage:
    """All files of a bag."""

    def __init__(self, path: Path) -> None:
        """Open.

        Args:
            path: of a folder or a file.

        Raises:
            BagError: nothing of it can be read.
        """
        self.path = path
        self.problems: list[str] = []
        """What is wrong with it, a line each."""
        self._parts = self._open()
        self.connections = [one for part in self._parts for one in part.connections]

    def messages(self, topics: list[str], start: int | None = None, stop: int | None = None) -> Iterator[RawMessage]:
        """In the order of the files, within each in that of the log times.

        Args:
            topics: of the messages.
            start: first log time.
            stop: log time before which the last message lies.
        """
        for part in self._parts:
            chosen = [one for one in part.connections if one.topic in topics]
            if not chosen:
                continue
            try:
                for connection, log_time, data in part.messages(chosen, start, stop):
                    whole = zstd.decompress(data) if bytes(data[:4]) == ZSTD_MAGIC else data
                    yield RawMessage(connection, log_time, whole)
            except READ_ERRORS as error:
                self._note(f"{self.path} is damaged, and is read up to there: {_line(error)}")

    def close(self) -> None:
        """Close all files."""
        for part in self._parts:
            part.close()

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _open(self) -> list[Any]:
        if not self.path.exists():
            raise BagError(f"there is no bag {self.path}")
        if self.path.is_file() and self.path.suffix not in SUFFIXES:
            raise BagError(f"{self.path} is no bag: give a rosbag2 folder, or an .mcap or .db3 file")
        try:
            reader = Reader(self.path)
            reader.open()
            return [reader]
        except READ_ERRORS as error:
            return self._open_one_by_one(error)

    def _open_one_by_one(self, why: Exception) -> list[Any]:
        files = [self.path] if self.path.is_file() else _files(self.path)
        if not files:
            raise BagError(f"{self.path} is no bag: it has no .mcap or .db3 file ({_line(why)})")
        if self.path.is_dir():
            self._note(f"{self.path} is read without its metadata.yaml: {_line(why)}")
        parts = []
        for file in files:
            try:
                parts.append(self._open_file(file))
            except READ_ERRORS as error:
                self._note(f"{file} cannot be read: {_line(error)}")
        if not parts:
            raise BagError("; ".join(self.problems))
        return parts

    def _open_file(self, file: Path) -> Any:
        try:
            reader = Reader(file)
            reader.open()
            return reader
        except READ_ERRORS as error:
            mended = open_damaged_mcap(file) if file.suffix == ".mcap" else DamagedSqlite(file)
            self._note(f"{file} is damaged, and is read as far as it goes: {_line(error)}")
            return mended


def _files(folder: Path) -> list[Path]:
    """In the order in which a recorder numbers them: bag_2 before bag_10."""
    found = [path for path in folder.iterdir() if path.suffix in SUFFIXES]
    return sorted(found, key=lambda path: (len(path.stem), path.stem))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
