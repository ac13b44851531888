# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The places of the messages in an MCAP file: from its summary, or by a scan of a file without one or with damage."""

from __future__ import annotations

import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO, NamedTuple

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, Schema
from mcap.stream_reader import get_chunk_data_stream

MAGIC = b"\x89MCAP0\r\n"
RECORD = struct.Struct("<BQ")
"""Opcode and length before each record."""
MESSAGE = struct.Struct("<HIQQ")
"""Channel, sequence, log time and publication time before the data of a message."""
CHUNK = struct.Struct("<QQQII")
"""First and last log time, uncompressed size, CRC and length of the compression's name at the start of a chunk."""
CHUNK_HEAD = re.compile(rb"\x06(?=.{4}\0{4}.{28}(?:\x04\0\0\0zstd|\x03\0\0\0lz4|\0\0\0\0))", re.DOTALL)
MAX_RECORD = 2**32
"""Maximum length of a record in bytes: a longer one is taken for damage."""
DAMAGE = (McapError, zstandard.ZstdError, RuntimeError, ValueError, struct.error, OverflowError, MemoryError)
"""Exceptions that damaged records raise."""


class Block(NamedTuple):
    """A chunk, or a message outside of chunks."""

    start: int
    """First log time in nanoseconds."""
    end: int
    """Last log time."""
    offset: int
    """Position of the record in the file."""
    channels: frozenset[int]
    """Channels of its messages; empty if unknown."""


@dataclass
class McapIndex:
    """Channels and blocks of a file."""

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    """Number of messages by channel."""
    blocks: list[Block] = field(default_factory=list)
    corrupt_chunks: int = 0
    """Number of chunks that a scan found to be corrupt."""
    unreadable_bytes: int = 0
    """Number of bytes that a scan skipped because they are no record."""
    is_complete: bool = True
    """Whether the file has an end."""


def read_index(file: BinaryIO, size: int) -> McapIndex:
    """Find the messages of a file, which begins with `MAGIC`. A summary is used if it describes the file.

    Args:
        file: the open file.
        size: its size in bytes.
    """
    index = _read_summary(file)
    if index.blocks and _is_chunk(file, index.blocks[0], size) and _is_chunk(file, index.blocks[-1], size):
        return index
    return _Scan(file, size, index).run()


def read_chunk(record: bytes) -> bytes:
    """Return the uncompressed records of a chunk.

    Raises:
        DAMAGE: it is corrupt.
    """
    chunk = Chunk.read(ReadDataStream(BytesIO(record)))
    stream, size = get_chunk_data_stream(chunk, validate_crc=True)
    if size != chunk.uncompressed_size:
        raise ValueError(f"a chunk has {size} bytes instead of {chunk.uncompressed_size}")
    return stream.read(size)


def records_in(chunk: bytes) -> Iterator[tuple[int, int, int]]:
    """Iterate over opcode, start and end of the records in an uncompressed chunk."""
    position = 0
    while position + RECORD.size <= len(chunk):
        opcode, length = RECORD.unpack_from(chunk, position)
        start = position + RECORD.size
        position = start + length
        if position > len(chunk):
            raise ValueError("a record is longer than its chunk")
        yield opcode, start, position


def _read_summary(file: BinaryIO) -> McapIndex:
    """Read the summary; without blocks if there is none or it is incomplete."""
    try:
        file.seek(0)
        summary = SeekingReader(file).get_summary()
    except (*DAMAGE, OSError):
        return McapIndex(is_complete=False)
    if summary is None:
        return McapIndex()
    index = McapIndex(dict(summary.schemas), dict(summary.channels))
    statistics = summary.statistics
    if statistics and len(summary.chunk_indexes) == statistics.chunk_count:
        index.counts.update(statistics.channel_message_counts)
        if index.counts.keys() <= index.channels.keys():
            index.blocks = [
                Block(
                    *(one.message_start_time, one.message_end_time, one.chunk_start_offset),
                    frozenset(one.message_index_offsets),
                )
                for one in summary.chunk_indexes
            ]
    return index


def _is_chunk(file: BinaryIO, block: Block, size: int) -> bool:
    file.seek(block.offset)
    head = file.read(RECORD.size)
    return len(head) == RECORD.size and head[0] == Opcode.CHUNK and _fits(head, block.offset, size)


def _fits(head: bytes, position: int, size: int) -> bool:
    return bool(position + RECORD.size + RECORD.unpack(head)[1] <= size)


class _Scan:
    """Reads all records of a file in order, and continues after damaged ones."""

    def __init__(self, file: BinaryIO, size: int, summary: McapIndex) -> None:
        self._file, self._size = file, size
        # A channel that is defined in a damaged chunk may be in the summary.
        self._index = McapIndex(summary.schemas, summary.channels, is_complete=False)

    def run(self) -> McapIndex:
        if self._size <= len(MAGIC):
            return self._index
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            position = len(MAGIC)
            while position < self._size:
                end = self._record(data, position)
                if self._index.is_complete:
                    break
                if end is None:
                    end = self._next_record(data, position + 1)
                    self._index.unreadable_bytes += end - position
                position = end
        return self._index

    def _record(self, data: mmap.mmap, position: int) -> int | None:
        """Add a record to the index and return its end; None if it is not a record."""
        head = self._head(data, position)
        if head is None:
            return None
        opcode, length = head
        start = position + RECORD.size
        end = start + length
        if opcode in (Opcode.DATA_END, Opcode.FOOTER):
            self._index.is_complete = bool(data[-len(MAGIC) :] == MAGIC)
            return end if self._index.is_complete else self._size
        if opcode == Opcode.CHUNK and self._add_chunk(data[start:end], position):
            return end
        is_followed = end == self._size or self._head(data, end) is not None
        if opcode == Opcode.CHUNK:
            # Zeros are blocks that were never written; after other bytes the length is damaged, too.
            if not is_followed and data[end] != 0:
                return None
            self._index.corrupt_chunks += 1
            return end
        if not is_followed and data[end] != 0:
            return None
        try:
            self._add(opcode, data[start:end], position)
        except DAMAGE:
            return None
        return end

    def _add_chunk(self, record: bytes, position: int) -> bool:
        """Add a chunk; returns whether it is intact."""
        channels: Counter[int] = Counter()
        try:
            start, end = CHUNK.unpack_from(record)[:2]
            chunk = read_chunk(record)
            for opcode, first, last in records_in(chunk):
                if opcode == Opcode.MESSAGE:
                    channels[MESSAGE.unpack_from(chunk, first)[0]] += 1
                else:
                    self._add(opcode, chunk[first:last], position)
        except DAMAGE:
            return False
        self._index.counts.update(channels)
        if channels:
            self._index.blocks.append(Block(start, end, position, frozenset(channels)))
        return True

    def _add(self, opcode: int, record: bytes, position: int) -> None:
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(ReadDataStream(BytesIO(record)))
            self._index.schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(ReadDataStream(BytesIO(record)))
            self._index.channels[channel.id] = channel
        elif opcode == Opcode.MESSAGE:
            channel_id, _, log_time, _ = MESSAGE.unpack_from(record)
            self._index.counts[channel_id] += 1
            self._index.blocks.append(Block(log_time, log_time, position, frozenset((channel_id,))))

    def _head(self, data: mmap.mmap, position: int) -> tuple[int, int] | None:
        """Return opcode and length of a record; None if there is none."""
        if position + RECORD.size > self._size:
            return None
        opcode, length = RECORD.unpack_from(data, position)
        is_known = Opcode.HEADER <= opcode <= Opcode.DATA_END or opcode >= 0x80
        fits = length <= MAX_RECORD and position + RECORD.size + length <= self._size
        return (opcode, length) if is_known and fits else None

    def _next_record(self, data: mmap.mmap, position: int) -> int:
        """Return the position of the next chunk or message; the size of the file if there is none."""
        heads = self._heads()
        for found in heads.finditer(data, position):
            place = found.start()
            if data[place] == Opcode.CHUNK:
                if self._is_chunk(data, place):
                    return place
            elif self._is_message(data, place):
                return place
        return self._size

    def _heads(self) -> re.Pattern[bytes]:
        """Return a pattern for the start of a chunk, or of a message of a known channel."""
        if not self._index.channels:
            return CHUNK_HEAD
        ids = b"|".join(re.escape(channel.to_bytes(2, "little")) for channel in self._index.channels)
        return re.compile(CHUNK_HEAD.pattern + rb"|\x05(?=.{4}\0{4}(?:" + ids + rb"))", re.DOTALL)

    def _is_chunk(self, data: mmap.mmap, position: int) -> bool:
        head = self._head(data, position)
        if head is None:
            return False
        start, end, _, _, name_length = CHUNK.unpack_from(data, position + RECORD.size)
        at_size = position + RECORD.size + CHUNK.size + name_length
        compressed = int.from_bytes(data[at_size : at_size + 8], "little")
        return bool(start <= end and head[1] == CHUNK.size + name_length + 8 + compressed)

    def _is_message(self, data: mmap.mmap, position: int) -> bool:
        head = self._head(data, position)
        if head is None or head[1] < MESSAGE.size:
            return False
        end = position + RECORD.size + head[1]
        return end == self._size or self._head(data, end) is not None
