# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reading of MCAP files: also unfinished or damaged ones, and those with messages that are not of ROS 2."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from operator import itemgetter
from pathlib import Path

from mcap.opcode import Opcode
from mcap.records import Channel

from ciae_ros.replay.bags.mcap_index import (
    DAMAGE,
    MAGIC,
    MESSAGE,
    RECORD,
    Block,
    McapIndex,
    read_chunk,
    read_index,
    records_in,
)
from ciae_ros.replay.bags.recorded import CDR, ROS1_HINT, RecordedTopic, describe_foreign_file
from ciae_ros.replay.bags.types import BagError

SCHEMA_ENCODINGS = ("ros2msg", "ros2idl", "omgidl", "")
"""Encodings of message definitions of ROS 2."""
Message = tuple[int, int, bytes]
"""Channel, log time in nanoseconds, and CDR."""


class McapFile:
    """An open MCAP file; see `BagFile`."""

    is_sorted = True

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            BagError: it is not an MCAP file, or none of its messages are of ROS 2.
            OSError: it cannot be opened.
        """
        self._file = path.open("rb")
        try:
            if self._file.read(len(MAGIC)) != MAGIC:
                raise BagError(f"{path} {describe_foreign_file(path) or 'is not an MCAP file'}")
            self._index = read_index(self._file, path.stat().st_size)
            self.topics, self.other_encodings = _topics(self._index)
            if self.other_encodings and not self.topics:
                raise BagError(f"{path} {_no_ros2(self.other_encodings)}")
        except BaseException:
            self._file.close()
            raise
        self._blocks = sorted(self._index.blocks)
        self._unreadable: set[int] = set()
        """Offsets of chunks that were found to be corrupt while reading."""

    @property
    def problems(self) -> list[str]:
        index = self._index
        problems = []
        if not index.is_complete:
            problems.append("it has no end, so its recorder was stopped or the file is truncated")
        corrupt = index.corrupt_chunks + len(self._unreadable)
        if corrupt:
            total = len(self._blocks) + index.corrupt_chunks
            problems.append(f"{corrupt} of {total} chunks {'is' if corrupt == 1 else 'are'} corrupt")
        if index.unreadable_bytes:
            problems.append(f"{index.unreadable_bytes} bytes are unreadable")
        return problems

    def messages(self, ids: Collection[int], start: int | None = None) -> Iterator[Message]:
        """Iterate over channel, log time and CDR of the messages of some channels, in the order of their log times."""
        wanted = frozenset(ids)
        from_time = 0 if start is None else start
        waiting: list[tuple[int, int, int, int, bytes]] = []
        """Messages of blocks that overlap: log time, offset of the block, number in it, channel, data."""
        for block in self._blocks:
            if block.end < from_time or (block.channels and wanted.isdisjoint(block.channels)):
                continue
            while waiting and waiting[0][0] < block.start:
                log_time, _, _, channel, data = heapq.heappop(waiting)
                yield channel, log_time, data
            for number, (channel, log_time, data) in enumerate(self._messages_of(block, wanted)):
                if log_time >= from_time:
                    heapq.heappush(waiting, (log_time, block.offset, number, channel, data))
        for log_time, _, _, channel, data in sorted(waiting, key=itemgetter(0, 1, 2)):
            yield channel, log_time, data

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _messages_of(self, block: Block, wanted: frozenset[int]) -> list[Message]:
        self._file.seek(block.offset)
        try:
            opcode, length = RECORD.unpack(self._file.read(RECORD.size))
            if opcode not in (Opcode.CHUNK, Opcode.MESSAGE):
                raise ValueError("not a record with messages")
            record = self._file.read(length)
            if opcode == Opcode.MESSAGE:
                return _message(record, 0, len(record), wanted)
            chunk = read_chunk(record)
            messages: list[Message] = []
            for opcode, first, last in records_in(chunk):
                if opcode == Opcode.MESSAGE:
                    messages += _message(chunk, first, last, wanted)
        except DAMAGE:
            self._unreadable.add(block.offset)
            return []
        return messages


def _message(data: bytes, start: int, end: int, wanted: frozenset[int]) -> list[Message]:
    """Return the message of a record; nothing if its channel is not wanted."""
    channel, _, log_time, _ = MESSAGE.unpack_from(data, start)
    return [(channel, log_time, data[start + MESSAGE.size : end])] if channel in wanted else []


def _topics(index: McapIndex) -> tuple[list[RecordedTopic], dict[str, str]]:
    """Return the topics of ROS 2 messages, and the encodings of the others by topic."""
    topics, others = [], {}
    for channel in sorted(index.channels.values(), key=lambda one: one.id):
        found = _topic(channel, index)
        if found is None:
            others[channel.topic] = channel.message_encoding or "unknown"
        else:
            topics.append(found)
    return topics, others


def _topic(channel: Channel, index: McapIndex) -> RecordedTopic | None:
    """Return the topic of a channel; None if its messages are not of ROS 2."""
    schema = index.schemas.get(channel.schema_id)
    if channel.message_encoding != CDR or schema is None or schema.encoding not in SCHEMA_ENCODINGS:
        return None
    package, _, name = schema.name.rpartition("/")
    # Some writers use the short form sensor_msgs/Image.
    msgtype = schema.name if "/" in package else f"{package}/msg/{name}"
    definition = schema.data.decode(errors="replace") if schema.encoding else ""
    return RecordedTopic(
        *(channel.id, channel.topic, msgtype, index.counts[channel.id], definition, schema.encoding.endswith("idl")),
        channel.metadata.get("topic_type_hash", ""),
        channel.metadata.get("offered_qos_profiles", ""),
    )


def _no_ros2(others: dict[str, str]) -> str:
    encodings = sorted(set(others.values()))
    if encodings == ["ros1"]:
        return f"has messages of ROS 1: if the original .bag file exists, {ROS1_HINT}"
    return f"has no messages of ROS 2; those it has are encoded as {', '.join(encodings)}"
