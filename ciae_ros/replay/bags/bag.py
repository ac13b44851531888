# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The frames of a recorded drive."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from ciae_ros.camera.camera_image import UnusableImageError
from ciae_ros.camera.image_conversion import convert_image
from ciae_ros.camera.image_decoding import decode_image
from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE, IMAGE, typestore
from ciae_ros.replay.bags.storage import RawMessage, Storage
from ciae_ros.replay.types import UNREADABLE, BagError, BagFrame, FrameKey


@dataclass(frozen=True)
class TopicInfo:
    """A topic of a bag."""

    type: str
    """As in sensor_msgs/msg/Image."""
    count: int
    """Messages that can be read."""


class Bag:
    """A bag that is open; see `open_bag`. Not for use by several threads at once: see `reopened`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = ExitStack()
        self._storage = Storage(path)
        self._files.callback(self._storage.close)
        self.topics: dict[str, TopicInfo] = {}
        """By name."""
        for one in self._storage.connections:
            before = self.topics.get(one.topic)
            self.topics[one.topic] = TopicInfo(one.msgtype, one.msgcount + (before.count if before else 0))

    @property
    def name(self) -> str:
        """Of its folder or file."""
        return self._path.stem if self._path.is_file() else self._path.resolve().name

    @property
    def fingerprint(self) -> tuple[str, int]:
        """The same for the same bag, as long as it is not written anew."""
        return str(self._path.resolve()), self._path.stat().st_mtime_ns

    @property
    def problems(self) -> list[str]:
        """What is wrong with it as far as it has been read, a line each."""
        return list(self._storage.problems)

    def image_topics(self) -> list[str]:
        """Names of those that carry images."""
        return sorted(topic for topic, info in self.topics.items() if info.type in (IMAGE, COMPRESSED_IMAGE))

    def frames(self, topic: str, start: int = 0, stop: int | None = None) -> Iterator[BagFrame]:
        """Frames of a topic, with their images converted as the node does.

        Args:
            topic: of images.
            start: number of the first one.
            stop: number after the last one's; None for all.

        Raises:
            BagError: there is no such topic, or it has no images.
        """
        self._check_image_topic(topic)
        for index, raw in self._numbered(topic, start, stop):
            yield self._frame(FrameKey(self.name, topic, index), raw)

    def messages(self, topic: str, start: int = 0, stop: int | None = None) -> Iterator[Any]:
        """Deserialised messages of a topic, None for those that are damaged; arguments as for `frames`.

        Raises:
            BagError: there is no such topic, or its type is not known here.
        """
        self._check_topic(topic)
        for _, raw in self._numbered(topic, start, stop):
            yield self._deserialised(raw)

    def raw_messages(self, topics: Sequence[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, log time in nanoseconds and CDR of each message of some topics, in the bag's order."""
        for message in self._storage.messages(topics):
            yield message.connection.topic, message.log_time, bytes(message.data)

    def all_messages(self) -> Iterator[RawMessage]:
        """Everything in the bag, in its order."""
        return self._storage.messages(list(self.topics))

    def reopened(self) -> Bag:
        """The same bag, for reading at another place at the same time; closed with this one."""
        return self._files.enter_context(open_bag(self._path))

    def close(self) -> None:
        """Close its files."""
        self._files.close()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _numbered(self, topic: str, start: int, stop: int | None) -> Iterator[tuple[int, RawMessage]]:
        """Messages of a topic with their numbers; begins to read at the nearest place that has been seen before."""
        places = _places(self.fingerprint, topic)
        first, part, log_time = self._entry(places, start)
        messages = self._storage.messages([topic], part, log_time)
        for index, message in enumerate(islice(messages, None if stop is None else max(0, stop - first)), start=first):
            if index == len(places):
                places.append((message.part, message.log_time))
            if index >= start:
                yield index, message

    def _entry(self, places: list[tuple[int, int]], start: int) -> tuple[int, int, int | None]:
        """Number of a message at or before `start`, its file, and the log time to read from there."""
        if not places or start == 0:
            return 0, 0, None
        part, log_time = places[min(start, len(places) - 1)]
        if not self._storage.parts[part].is_sorted:
            return bisect_left(places, (part,)), part, None
        # Several may have the same time.
        return bisect_left(places, (part, log_time)), part, log_time

    def _frame(self, key: FrameKey, raw: RawMessage) -> BagFrame:
        start = time.perf_counter()
        message = self._deserialised(raw)
        if message is None:
            return BagFrame(key, raw.log_time, raw.log_time, "", None, UNREADABLE, "the message is damaged")
        stamp, frame_id = stamp_of(message), message.header.frame_id
        try:
            image = (decode_image if raw.connection.msgtype == COMPRESSED_IMAGE else convert_image)(message)
        except UnusableImageError as error:
            return BagFrame(key, stamp, raw.log_time, frame_id, None, error.kind, str(error))
        return BagFrame(key, stamp, raw.log_time, frame_id, image, decode=time.perf_counter() - start)

    def _deserialised(self, raw: RawMessage) -> Any:
        """None where the bytes do not follow the definition."""
        kind = raw.connection.msgtype
        if kind not in typestore().types:
            raise BagError(f"{self._path}: messages of type {kind} are not known here")
        try:
            # Of memory that may be written to, which PyTorch wants to share.
            return typestore().deserialize_cdr(memoryview(bytearray(raw.data)), kind)
        except Exception:  # rosbags' generated code lets all that NumPy and struct may raise through.
            return None

    def _check_topic(self, topic: str) -> None:
        if topic not in self.topics:
            raise BagError(f"{self._path} has no topic {topic}; its topics: {', '.join(sorted(self.topics))}")

    def _check_image_topic(self, topic: str) -> None:
        self._check_topic(topic)
        if topic not in self.image_topics():
            kind, images = self.topics[topic].type, ", ".join(self.image_topics()) or "none"
            raise BagError(f"{topic} in {self._path} has no images but {kind}; its topics of images: {images}")


def open_bag(path: Path) -> Bag:
    """Open a rosbag2 folder, or one .mcap or .db3 file: whole, split, compressed, damaged, without its metadata.yaml.

    Raises:
        BagError: nothing of it can be read.
    """
    return Bag(path)


def stamp_of(message: Any) -> int:
    """Nanoseconds of a message's header."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


@lru_cache(maxsize=256)
def _places(fingerprint: tuple[str, int], topic: str) -> list[tuple[int, int]]:
    """File and log time of each message of a topic, as far as it has been read; filled by `Bag._numbered`."""
    return []
