# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Recovery of truncated or corrupt bag files, such as those of a computer that lost its power."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from rosbags.rosbag2.errors import ReaderError
from rosbags.rosbag2.storage_mcap import McapReader

MCAP_MAGIC = b"\x89MCAP0\r\n"
# A footer without a summary: the file is read sequentially.
MCAP_END = b"\x02" + (20).to_bytes(8, "little") + bytes(20) + MCAP_MAGIC
MCAP_DATA_END = 0x0F
SQLITE_MAGIC = b"SQLite format 3\x00"


def check_whole(path: Path) -> None:
    """Check that an SQLite file is complete; MCAP files are checked by their reader.

    Raises:
        ReaderError: it is not.
    """
    if _has_log(path):
        raise ReaderError("its recorder stopped before merging the write-ahead log")
    with path.open("rb") as file:
        head = file.read(100)
    if not head.startswith(SQLITE_MAGIC) or head[24:28] != head[92:96]:
        return
    page = int.from_bytes(head[16:18], "big")
    pages = int.from_bytes(head[28:32], "big")
    # The format encodes 65536 as 1.
    expected, size = pages * (65536 if page == 1 else page), path.stat().st_size
    if size < expected:
        raise ReaderError(f"it has {size} bytes of {expected}")


class Channel(NamedTuple):
    """A topic of a recovered file, with the fields of rosbags' connections."""

    id: int
    topic: str
    msgtype: str
    msgcount: int


class RecoveredMcap:
    """A path-like view of the complete records of an MCAP file, with a valid end; nothing is copied."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, mode: str) -> BinaryIO:
        return io.BufferedReader(_RecoveredFile(self._path.open("rb"), _end_of_whole_records(self._path)))

    def __str__(self) -> str:
        return str(self._path)


def open_corrupt_mcap(path: Path) -> McapReader:
    """Open a reader of the complete records.

    Raises:
        ReaderError: there is none.
    """
    reader = McapReader(RecoveredMcap(path))  # type: ignore[arg-type]
    try:
        reader.open()
    except (AssertionError, TypeError, IndexError, ValueError) as error:
        raise ReaderError(f"nothing in {path} can be read: {error}") from None
    return reader


class CorruptSqlite:
    """Reads the rows of a bag in the order in which they were written, up to the first unreadable one."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ReaderError: its topics cannot be read.
        """
        # A database with a write-ahead log cannot be opened as immutable; other modes create files next to it.
        mode = "mode=ro" if _has_log(path) else "immutable=1"
        # Opened here and used by the read-ahead thread, but never concurrently.
        self._database = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, check_same_thread=False)
        try:
            # Otherwise SQLite refuses a file with missing pages.
            self._database.execute("PRAGMA writable_schema = ON")
            topics = self._database.execute("SELECT id, name, type FROM topics ORDER BY id").fetchall()
        except sqlite3.Error as error:
            raise ReaderError(f"nothing in {path} can be read: {error}") from None
        counts = {number: 0 for number, _, _ in topics}
        for number, _, _ in self._rows():
            counts[number] = counts.get(number, 0) + 1
        self.connections = [Channel(number, topic, kind, counts[number]) for number, topic, kind in topics]

    def messages(self, connections: list[Channel], start: int | None = None) -> Iterator[tuple[Channel, int, bytes]]:
        """Iterate over messages, as rosbags' readers do."""
        wanted = {one.id: one for one in connections}
        for number, timestamp, data in self._rows():
            if number in wanted and (start is None or timestamp >= start):
                yield wanted[number], timestamp, data

    def close(self) -> None:
        self._database.close()

    def _rows(self) -> Iterator[tuple[int, int, bytes]]:
        try:
            yield from self._database.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id")
        except sqlite3.ProgrammingError:  # A programming error, not a corrupt file.
            raise
        except sqlite3.Error:
            return


class _RecoveredFile(io.RawIOBase):
    """A file that consists of the first bytes of another one, followed by `MCAP_END`."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._length, self._position = file, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length + len(MCAP_END)}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        if self._position < self._length:
            self._file.seek(self._position)
            data = self._file.read(min(wanted, self._length - self._position))
        else:
            behind = self._position - self._length
            data = MCAP_END[behind : behind + wanted]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return path.suffix == ".db3" and log.is_file() and log.stat().st_size > 0


def _end_of_whole_records(path: Path) -> int:
    """Return the offset after the last complete record of the data section."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(MCAP_MAGIC)) != MCAP_MAGIC:
            raise ReaderError(f"{path} is not an MCAP file")
        end = file.tell()
        while head := file.read(9):
            length = int.from_bytes(head[1:], "little")
            if len(head) < 9 or end + 9 + length > size or head[0] == MCAP_DATA_END:
                break
            end += 9 + length
            file.seek(end)
    return end
