# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reading of SQLite bag files, also unfinished or damaged ones."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from operator import itemgetter
from pathlib import Path

from ciae_ros.replay.bags.recorded import CDR, RecordedTopic, describe_foreign_file
from ciae_ros.replay.bags.types import BagError

MAGIC = b"SQLite format 3\x00"
MAX_GAP = 100_000
"""Number of consecutive unreadable rows after which a damaged file is considered to be read."""
DAMAGE = (sqlite3.Error, UnicodeDecodeError, OverflowError, TypeError)
"""Exceptions that damaged rows raise."""


class SqliteFile:
    """An open SQLite file; see `BagFile`."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            BagError: it is not a bag, or none of its messages are of ROS 2.
            OSError: it cannot be opened.
        """
        if not _head(path).startswith(MAGIC):
            raise BagError(f"{path} {describe_foreign_file(path) or 'is not an SQLite file'}")
        missing = _missing_bytes(path)
        self._is_damaged = bool(missing)
        self._reasons = [missing] if missing else []
        if _has_log(path):
            self._reasons.append("its recorder stopped before merging the write-ahead log")
        # A database with a write-ahead log cannot be opened as immutable; other modes create files next to it.
        mode = "mode=ro" if _has_log(path) else "immutable=1"
        # Opened here and used by the read-ahead thread, but never concurrently.
        self._database = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, check_same_thread=False)
        self._unreadable: set[int] = set()
        """Ids of messages that could not be read."""
        try:
            # Otherwise SQLite refuses a file with missing pages.
            self._database.execute("PRAGMA writable_schema = ON")
            counts = self._counts()
            self.topics, self.other_encodings = self._read_topics(counts)
        except DAMAGE as error:
            self._database.close()
            raise BagError(f"{path} has no readable table of topics: {error}") from None
        if self.other_encodings and not self.topics:
            self._database.close()
            raise BagError(f"{path} has no messages of ROS 2; its encodings are {set(self.other_encodings.values())}")

    @property
    def is_sorted(self) -> bool:
        """Whether messages are in the order of their log times; those of a damaged file are in that of writing."""
        return not self._is_damaged

    @property
    def problems(self) -> list[str]:
        problems = list(self._reasons)
        if self._unreadable:
            number = len(self._unreadable)
            problems.append(f"{number} {'message is' if number == 1 else 'messages are'} corrupt")
        return problems

    def messages(self, ids: Collection[int], start: int | None = None) -> Iterator[tuple[int, int, bytes]]:
        """Iterate over topic id, log time and CDR of the readable messages of some topics."""
        rows = self._rows() if self._is_damaged else self._sorted_rows(ids, start)
        for number, topic, log_time in rows:
            if topic not in ids or (start is not None and log_time < start):
                continue
            try:
                (data,) = self._database.execute("SELECT data FROM messages WHERE id = ?", (number,)).fetchone()
            except DAMAGE:
                self._unreadable.add(number)
                continue
            yield topic, log_time, data

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _counts(self) -> Counter[int]:
        """Count the messages by topic, and find out whether the table is damaged."""
        try:
            return Counter(
                dict(self._database.execute("SELECT topic_id, count(*) FROM messages GROUP BY topic_id").fetchall())
            )
        except DAMAGE as error:
            self._is_damaged = True
            self._note(error)
        return Counter(topic for _, topic, _ in self._rows())

    def _sorted_rows(self, ids: Collection[int], start: int | None) -> Iterator[tuple[int, int, int]]:
        """Iterate over id, topic and log time of the messages of an intact table."""
        marks = ", ".join("?" for _ in ids)
        query = f"SELECT id, topic_id, timestamp FROM messages WHERE topic_id IN ({marks})"
        if start is not None:
            query += " AND timestamp >= ?"
        arguments = [*ids] if start is None else [*ids, start]
        last = -1 if start is None else start - 1
        try:
            for row in self._database.execute(f"{query} ORDER BY timestamp, id", arguments):
                yield row
                last = row[2]
        except sqlite3.ProgrammingError:  # A programming error, not a corrupt file.
            raise
        except DAMAGE as error:
            # The index of the timestamps is damaged, but perhaps not the table.
            self._note(error)
            rest = [row for row in self._rows() if row[1] in ids and row[2] > last]
            yield from sorted(rest, key=itemgetter(2, 0))

    def _rows(self) -> Iterator[tuple[int, int, int]]:
        """Iterate over id, topic and log time of the readable messages of a damaged table, in the order of writing."""
        last = 0
        try:
            for row in self._database.execute("SELECT id, topic_id, timestamp FROM messages ORDER BY id"):
                last = row[0]
                yield row
        except sqlite3.ProgrammingError:  # A programming error, not a corrupt file.
            raise
        except DAMAGE:
            yield from self._single_rows(last + 1)

    def _single_rows(self, first: int) -> Iterator[tuple[int, int, int]]:
        """Iterate over the rows behind a damaged page."""
        number = first
        while number < first + MAX_GAP:
            try:
                query = "SELECT id, topic_id, timestamp FROM messages WHERE id = ?"
                row = self._database.execute(query, (number,)).fetchone()
            except DAMAGE:
                row = None
            if row is not None:
                yield row
                first = number
            number += 1

    def _note(self, error: Exception) -> None:
        reason = " ".join(str(error).split())
        if reason not in self._reasons:
            self._reasons.append(reason)

    def _read_topics(self, counts: Counter[int]) -> tuple[list[RecordedTopic], dict[str, str]]:
        """Return the topics of ROS 2 messages, and the encodings of the others by topic."""
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(topics)")}
        optional = ("offered_qos_profiles", "type_description_hash")
        chosen = ", ".join(column if column in columns else "''" for column in optional)
        query = f"SELECT id, name, type, serialization_format, {chosen} FROM topics ORDER BY id"
        definitions = self._definitions()
        topics, others = [], {}
        for number, name, msgtype, encoding, qos, digest in self._database.execute(query):
            if encoding != CDR:
                others[name] = encoding
                continue
            definition, is_idl = definitions.get(msgtype, ("", False))
            topics.append(
                RecordedTopic(number, name, msgtype, counts[number], definition, is_idl, digest or "", str(qos or ""))
            )
        return topics, others

    def _definitions(self) -> dict[str, tuple[str, bool]]:
        """Return message definitions by type, and whether they are in IDL; older bags have none."""
        query = "SELECT topic_type, encoded_message_definition, encoding FROM message_definitions"
        try:
            return {kind: (text, encoding == "ros2idl") for kind, text, encoding in self._database.execute(query)}
        except DAMAGE:
            return {}


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.is_file() and log.stat().st_size > 0


def _missing_bytes(path: Path) -> str:
    """State how many bytes a file has if they are fewer than its header states."""
    head = _head(path)
    if head[24:28] != head[92:96]:
        # The number of pages below is not valid.
        return ""
    page = int.from_bytes(head[16:18], "big")
    # The format encodes 65536 as 1.
    expected = int.from_bytes(head[28:32], "big") * (65536 if page == 1 else page)
    size = path.stat().st_size
    return f"it has {size} bytes of {expected}" if size < expected else ""
