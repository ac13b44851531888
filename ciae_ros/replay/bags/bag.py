"""The frames of a recorded drive."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from ciae_ros.images.camera_image import UnusableImageError
from ciae_ros.images.image_conversion import convert_image
from ciae_ros.images.image_decoding import decode_image
from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE, IMAGE, typestore
from ciae_ros.replay.bags.storage import RawMessage, Storage
from ciae_ros.replay.types import BagError, BagFrame, FrameKey

UNREADABLE = "unreadable message"
"""Problem of a frame whose message does not follow its definition."""


@dataclass(frozen=True)
class TopicInfo:
    """A topic of a bag."""

    type: str
    """As in sensor_msgs/msg/Image."""
    count: int
    """Messages that can be read."""


class Bag:
    """A bag that is open; see `open_bag`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._storage = Storage(path)
        self._problems: list[str] = []
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
    def problems(self) -> list[str]:
        """What is wrong with it as far as it has been read, a line each."""
        return [*self._storage.problems, *self._problems]

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
        log_times = self.log_times(topic)
        stop = len(log_times) if stop is None else min(stop, len(log_times))
        if start >= stop:
            return
        first, from_time = _entry(log_times, start)
        messages = self._storage.messages([topic], from_time)
        for index, message in enumerate(islice(messages, stop - first), start=first):
            if index >= start:
                yield self._frame(FrameKey(self.name, topic, index), message)

    def log_times(self, topic: str) -> Sequence[int]:
        """When the messages of a topic were recorded, in nanoseconds, in the bag's order."""
        times = _log_times(self, str(self._path.resolve()), topic)
        backwards = sum(after < before for before, after in pairwise(times))
        if backwards:
            self._note(f"{self._path}, {topic}: the times of recording go backwards {backwards} times")
        return times

    def stamped(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Stamp of the header in nanoseconds, and message, of each message of a topic whose type is known here.

        Raises:
            BagError: there is no such topic.
        """
        if topic not in self.topics:
            raise BagError(f"{self._path} has no topic {topic}; its topics: {', '.join(sorted(self.topics))}")
        for raw in self._storage.messages([topic]):
            message = self._deserialised(raw)
            if message is not None:
                yield stamp_of(message), message

    def raw_messages(self, topics: Sequence[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, log time in nanoseconds and CDR of each message of some topics, in the bag's order."""
        for message in self._storage.messages(list(topics)):
            yield message.connection.topic, message.log_time, bytes(message.data)

    def all_messages(self) -> Iterator[RawMessage]:
        """Everything in the bag, in its order."""
        return self._storage.messages(list(self.topics))

    @property
    def connections(self) -> list[Any]:
        """rosbags' Connections: a topic may have several."""
        return self._storage.connections

    def close(self) -> None:
        """Close its files."""
        self._storage.close()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

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
        try:
            return typestore().deserialize_cdr(raw.data, raw.connection.msgtype)
        except KeyError:
            raise BagError(f"{self._path}: messages of type {raw.connection.msgtype} are not known here") from None
        except Exception:  # rosbags' generated code lets all that NumPy and struct may raise through.
            return None

    def _check_image_topic(self, topic: str) -> None:
        images = ", ".join(self.image_topics()) or "none"
        if topic not in self.topics:
            raise BagError(f"{self._path} has no topic {topic}; its topics of images: {images}")
        if topic not in self.image_topics():
            kind = self.topics[topic].type
            raise BagError(f"{topic} in {self._path} has no images but {kind}; its topics of images: {images}")

    def _note(self, problem: str) -> None:
        if problem not in self._problems:
            self._problems.append(problem)


def open_bag(path: Path) -> Bag:
    """Open a rosbag2 folder, or one .mcap or .db3 file: whole, split, compressed, damaged, without its metadata.yaml.

    Raises:
        BagError: nothing of it can be read.
    """
    return Bag(path)


def stamp_of(message: Any) -> int:
    """Nanoseconds of a message's header."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def _entry(log_times: Sequence[int], start: int) -> tuple[int, int | None]:
    """Where to begin to read for the message of a number: the number read first, and its log time."""
    if any(after < before for before, after in pairwise(log_times)):
        return 0, None
    # Several may have the same time.
    return bisect_left(log_times, log_times[start]), log_times[start]


@lru_cache(maxsize=64)
def _log_times(bag: Bag, path: str, topic: str) -> Sequence[int]:
    return [message.log_time for message in bag._storage.messages([topic])]
