# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""MCAP files as other writers than rosbag2 produce them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mcap.opcode import Opcode
from mcap.writer import CompressionType, Writer

from ciae_ros.replay.bags.bag_writing import header, raw_image
from ciae_ros.replay.bags.definitions import IMAGE, typestore

CAMERA = "/camera/image_raw"
SECOND = 10**9
TEXTURE = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8), (80, 48))
CHUNK_SIZE = 2 * TEXTURE.size
"""Two images fill a chunk."""


class Channel(NamedTuple):
    """A channel of an MCAP file."""

    topic: str
    encoding: str = "cdr"
    schema_name: str = IMAGE
    schema_encoding: str = "ros2msg"
    schema: bytes = b""
    metadata: Mapping[str, str] = {}


def image_channel(metadata: Mapping[str, str] | None = None) -> Channel:
    text = typestore().generate_msgdef(IMAGE, ros_version=2)[0]
    return Channel(CAMERA, schema=text.encode(), metadata=metadata or {})


def stamp(index: int) -> int:
    return SECOND + index * SECOND // 10


def image(index: int) -> bytes:
    message = raw_image(header(stamp(index)), np.roll(TEXTURE, index, axis=1))
    return bytes(typestore().serialize_cdr(message, IMAGE))


def write_mcap(
    path: Path,
    channels: Iterable[tuple[Channel, Iterable[bytes]]],
    compression: CompressionType = CompressionType.ZSTD,
    profile: str = "ros2",
    use_chunking: bool = True,
) -> None:
    """Write the messages of each channel at the times of `stamp`."""
    with path.open("wb") as file:
        writer = Writer(file, CHUNK_SIZE, compression, use_chunking=use_chunking)
        writer.start(profile)
        messages = []
        for channel, contents in channels:
            schema = writer.register_schema(channel.schema_name, channel.schema_encoding, channel.schema)
            schema_id = schema if channel.schema_encoding else 0
            number = writer.register_channel(channel.topic, channel.encoding, schema_id, dict(channel.metadata))
            messages += [(stamp(index), number, content) for index, content in enumerate(contents)]
        for time, number, content in sorted(messages):
            writer.add_message(number, time, content, time)
        writer.finish()


def chunks_of(content: bytes) -> list[tuple[int, int]]:
    """Return start and end of the chunks of an intact file."""
    chunks, position = [], 8
    while position < len(content) - 8:
        end = position + 9 + int.from_bytes(content[position + 1 : position + 9], "little")
        if content[position] == Opcode.CHUNK:
            chunks.append((position, end))
        position = end
    return chunks
