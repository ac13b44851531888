# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A recorded bag and its frames."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
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
from ciae_ros.replay.bags.compressed_files import DecompressedFiles
from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE, IMAGE, SEGMENTS, typestore
from ciae_ros.replay.bags.stamps import stamp_of, stamp_of_serialized
from ciae_ros.replay.bags.storage import RawMessage, Storage
from ciae_ros.replay.bags.types import UNREADABLE, BagError, BagFrame, FrameKey


@dataclass(frozen=True)
class TopicInfo:
    """A topic of a bag."""

    type: str
    """Message type, as in sensor_msgs/msg/Image."""
    count: int
    """Number of readable messages."""


class Bag:
    """An open bag; see `open_bag`. Not thread-safe: see `reopened`."""

    def __init__(self, path: Path, decompressed: DecompressedFiles | None = None) -> None:
        self.path = path
        self._files = ExitStack()
        self._decompressed = decompressed or DecompressedFiles()
        if decompressed is None:
            self._files.callback(self._decompressed.close)
        try:
            self._storage = Storage(path, self._decompressed)
        except BaseException:
            self._files.close()
            raise
        self._files.callback(self._storage.close)
        self.topics: dict[str, TopicInfo] = {}
        """Topics by name."""
        for one in self._storage.topics:
            before = self.topics.get(one.topic)
            self.topics[one.topic] = TopicInfo(one.msgtype, one.msgcount + (before.count if before else 0))

    @property
    def name(self) -> str:
        """Name of its folder or file."""
        return self.path.stem if self.path.is_file() else self.path.resolve().name

    @property
    def fingerprint(self) -> tuple[str, int]:
        """Identifier of the bag's content, which changes when the bag is written again."""
        return str(self.path.resolve()), self.path.stat().st_mtime_ns

    @property
    def other_encodings(self) -> dict[str, str]:
        """Topics with messages that are not of ROS 2 and are not read, and their encodings."""
        return self._storage.other_encodings

    @property
    def problems(self) -> list[str]:
        """Problems found while reading the bag so far, one line each."""
        return self._storage.problems

    def image_topics(self) -> list[str]:
        """Return the names of the image topics."""
        return sorted(topic for topic, info in self.topics.items() if info.type in (IMAGE, COMPRESSED_IMAGE))

    def frames(self, topic: str, start: int = 0, stop: int | None = None) -> Iterator[BagFrame]:
        """Iterate over the frames of a topic, with images converted as in the node.

        Args:
            topic: an image topic.
            start: index of the first frame.
            stop: index after the last frame; None for all.

        Raises:
            BagError: the topic does not exist or is not an image topic.
        """
        self._check_image_topic(topic)
        for index, raw in self._numbered(topic, start, stop):
            yield self._frame(FrameKey(self.name, topic, index), raw)

    def messages(self, topic: str, start: int = 0, stop: int | None = None) -> Iterator[Any]:
        """Iterate over the deserialised messages of a topic, None for corrupt ones; arguments as for `frames`.

        Raises:
            BagError: the topic does not exist or its type is unknown.
        """
        self._check_topic(topic)
        for _, raw in self._numbered(topic, start, stop):
            yield self._deserialised(raw)

    def raw_messages(self, topics: Sequence[str]) -> Iterator[tuple[str, int, bytes]]:
        """Iterate over topic, log time in nanoseconds and CDR of the messages of some topics, in order."""
        for message in self._storage.messages(topics):
            yield message.topic.topic, message.log_time, message.data

    def all_messages(self) -> Iterator[RawMessage]:
        """Iterate over all messages of the bag, in order."""
        return self._storage.messages(list(self.topics))

    def repeated_stamps(self, topic: str) -> frozenset[int]:
        """Return the stamps that several messages of an image topic have, in nanoseconds: they identify no frame.

        Reads all messages of the topic the first time.
        """
        stamps = _stamps(self.fingerprint, topic)
        if not stamps:
            stamps.update(stamp_of_serialized(message.data) for message in self._storage.messages([topic]))
        return frozenset(stamp for stamp, count in stamps.items() if stamp is not None and count > 1)

    def reopened(self) -> Bag:
        """Open the bag again for concurrent reading; the new instance is closed with this one."""
        return self._files.enter_context(Bag(self.path, self._decompressed))

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _numbered(self, topic: str, start: int, stop: int | None) -> Iterator[tuple[int, RawMessage]]:
        """Iterate over the messages of a topic with their indices, starting at the nearest known position."""
        places = _places(self.fingerprint, topic)
        first, part, log_time = self._entry(places, start)
        messages = self._storage.messages([topic], part, log_time)
        for index, message in enumerate(islice(messages, None if stop is None else max(0, stop - first)), start=first):
            if index == len(places):
                places.append((message.part, message.log_time))
            if index >= start:
                yield index, message

    def _entry(self, places: list[tuple[int, int]], start: int) -> tuple[int, int, int | None]:
        """Return the index of a message at or before `start`, its file, and the log time to read from."""
        if not places or start == 0:
            return 0, 0, None
        part, log_time = places[min(start, len(places) - 1)]
        if not self._storage.parts[part].is_sorted:
            return bisect_left(places, (part,)), part, None
        # Several messages may have the same time.
        return bisect_left(places, (part, log_time)), part, log_time

    def _frame(self, key: FrameKey, raw: RawMessage) -> BagFrame:
        start = time.perf_counter()
        message = self._deserialised(raw)
        if message is None:
            return BagFrame(key, raw.log_time, raw.log_time, "", None, UNREADABLE, "the message is corrupt")
        stamp, frame_id = stamp_of(message), message.header.frame_id
        try:
            image = (decode_image if raw.topic.msgtype == COMPRESSED_IMAGE else convert_image)(message)
        except UnusableImageError as error:
            return BagFrame(key, stamp, raw.log_time, frame_id, None, error.kind, str(error))
        return BagFrame(key, stamp, raw.log_time, frame_id, image, decode=time.perf_counter() - start)

    def _deserialised(self, raw: RawMessage) -> Any:
        """Deserialise a message; None if its bytes do not match the definition."""
        kind = raw.topic.msgtype
        if kind not in typestore().types:
            raise BagError(f"{self.path}: messages of type {kind} are unknown")
        for with_track_ids in (True, False) if kind == SEGMENTS else (True,):
            try:
                # Deserialised from writable memory, which PyTorch requires for sharing.
                return typestore(with_track_ids).deserialize_cdr(memoryview(bytearray(raw.data)), kind)
            except Exception:  # rosbags' generated code lets all that NumPy and struct may raise through.
                continue
        return None

    def _check_topic(self, topic: str) -> None:
        if topic not in self.topics:
            raise BagError(f"{self.path} has no topic {topic}; its topics: {', '.join(sorted(self.topics))}")

    def _check_image_topic(self, topic: str) -> None:
        self._check_topic(topic)
        if topic not in self.image_topics():
            kind, images = self.topics[topic].type, ", ".join(self.image_topics()) or "none"
            raise BagError(
                f"{topic} in {self.path} has type {kind}, which is not an image; the image topics are {images}"
            )


def open_bag(path: Path) -> Bag:
    """Open a rosbag2 folder or a single .mcap or .db3 file, even if split, compressed, corrupt or without
    metadata.yaml.

    Raises:
        BagError: nothing in it can be read.
    """
    return Bag(path)


@lru_cache(maxsize=64)
def _stamps(fingerprint: tuple[str, int], topic: str) -> Counter[int | None]:
    """Cache of the number of messages of a topic by stamp, shared by all shards of a bag."""
    return Counter()


@lru_cache(maxsize=256)
def _places(fingerprint: tuple[str, int], topic: str) -> list[tuple[int, int]]:
    """Cache of file and log time of the messages of a topic, filled by `Bag._numbered`."""
    return []
