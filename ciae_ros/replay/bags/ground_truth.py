# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Ground truth of frames: files in COCO's panoptic format, or topics in the bag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ciae_ros.camera.camera_image import UnusableImageError
from ciae_ros.core.coco_panoptic import ImageId, PanopticAnnotations
from ciae_ros.inference import CategorySet
from ciae_ros.replay.bags.bag import Bag
from ciae_ros.replay.bags.definitions import IMAGE, SEGMENTS
from ciae_ros.replay.bags.stamps import stamp_of
from ciae_ros.replay.bags.types import BagFrame, GroundTruth, GroundTruthError, TrueSegment, TrueSegments

EVERY = ""
"""Bag or topic of an entry that states none."""

FIRST_STAMP = 10**12
"""Smallest number in a file name that is a stamp in nanoseconds (17 minutes after the epoch), not a frame index."""


def open_ground_truth(spec: str | Path, categories: CategorySet) -> GroundTruth:
    """Open ground truth in COCO's panoptic format.

    An entry of `images` belongs to the frame whose header has its `stamp` (an integer in nanoseconds; or a string or a
    fraction in seconds). Where it has none, the name of its file without the suffix says which frame it is: a stamp in
    nanoseconds, or in seconds with a point; the frame_id of the header; or the number of the frame on its topic, from
    0. An entry with a `topic` belongs to frames of that topic only, one without to those of every topic; likewise with
    a `bag`, the name of the bag without suffix. A segment may have a `track_id`, which identifies its object in all
    frames of a topic.

    Args:
        spec: the JSON file, with its PNGs in the folder of the same name next to it; or the folder that contains both.
        categories: categories of the model, which must equal those of the ground truth.

    Raises:
        GroundTruthError: it does not exist, or its categories differ from the model's.
    """
    path = _json_in(Path(spec))
    try:
        annotations = PanopticAnnotations.load(path)
    except (ValueError, OSError) as error:
        raise GroundTruthError(f"ground truth {path}: {error}") from None
    difference = _difference(annotations.categories, categories)
    if difference:
        raise GroundTruthError(f"ground truth {path} has different categories than the model: {difference}")
    return _FileTruth(annotations)


def topic_ground_truth(bag: Bag, labels_topic: str, segments_topic: str, categories: CategorySet) -> GroundTruth:
    """Open ground truth in a bag: label images and `PanopticSegments` with the stamps of the camera's images.

    Args:
        bag: the bag.
        labels_topic: topic of the images of segment ids.
        segments_topic: topic of their segments.
        categories: categories of the model.

    Raises:
        GroundTruthError: the topics do not exist.
    """
    for topic, kind in ((labels_topic, IMAGE), (segments_topic, SEGMENTS)):
        if topic not in bag.topics:
            raise GroundTruthError(f"{bag.name} has no ground truth topic {topic}; its topics: {', '.join(bag.topics)}")
        if bag.topics[topic].type != kind:
            raise GroundTruthError(f"ground truth topic {topic} in {bag.name} has {bag.topics[topic].type}, not {kind}")
    return _TopicTruth(_Lookup(bag, labels_topic), _Lookup(bag, segments_topic), categories)


class _FileTruth:
    def __init__(self, annotations: PanopticAnnotations) -> None:
        self._annotations = annotations
        self._image_ids: dict[tuple[str, str, str, int | str], ImageId] = {}
        """Ids by bag, topic, kind of identifier, and identifier of the frame."""
        for image_id, entry in annotations.images.items():
            if image_id in annotations.annotations:
                self._add(image_id, entry)

    def find(self, frame: BagFrame) -> TrueSegments | None:
        places = ((bag, topic) for bag in (frame.key.bag, EVERY) for topic in (frame.key.topic, EVERY))
        found = next((one for place in places if (one := self._find(frame, *place)) is not None), None)
        if found is None:
            return None
        try:
            ids = self._annotations.segment_ids(found)
            entries = self._annotations.annotations[found]["segments_info"]
            segments = tuple(map(TrueSegment.from_coco, entries))
        except (ValueError, KeyError, TypeError) as error:
            raise GroundTruthError(f"ground truth of {frame.key.topic} at {frame.stamp}: {error}") from None
        return _checked(TrueSegments(ids, segments), self._annotations.categories, frame)

    def _find(self, frame: BagFrame, bag: str, topic: str) -> ImageId | None:
        keys: list[tuple[str, str, str, int | str]] = [
            (bag, topic, "name", frame.frame_id),
            (bag, topic, "number", frame.key.index),
        ]
        if frame.is_stamp_unique:
            keys.insert(0, (bag, topic, "stamp", frame.stamp))
        return next((self._image_ids[key] for key in keys if key in self._image_ids), None)

    def _add(self, image_id: ImageId, entry: dict[str, Any]) -> None:
        bag, topic = str(entry.get("bag", EVERY)), str(entry.get("topic", EVERY))
        name = Path(str(entry.get("file_name", ""))).stem
        stamp = _nanoseconds(entry["stamp"]) if "stamp" in entry else _stamp_in(name)
        kind, identifier = ("stamp", stamp) if stamp is not None else _number_or_name(name)
        other = self._image_ids.setdefault((bag, topic, kind, identifier), image_id)
        if other != image_id:
            raise GroundTruthError(
                f"ground truth {self._annotations.path}: images {other} and {image_id} are both of the frame with "
                f"{kind} {identifier}; give them different stamps, or topics"
            )


class _TopicTruth:
    def __init__(self, labels: _Lookup, segments: _Lookup, categories: CategorySet) -> None:
        self._labels, self._segments, self._categories = labels, segments, categories

    def find(self, frame: BagFrame) -> TrueSegments | None:
        if not frame.is_stamp_unique:
            return None
        segments, labels = self._segments.find(frame.stamp), self._labels.find(frame.stamp)
        if labels is None or segments is None:
            return None
        try:
            ids = decode_label_image(labels)
        except UnusableImageError as error:
            raise GroundTruthError(f"ground truth of {frame.key.topic} at {frame.stamp}: {error}") from None
        for one in segments.segments:
            known = self._categories.by_id.get(one.category_id)
            if known is None or known.name != one.category_name:
                raise GroundTruthError(
                    f"ground truth of {frame.key.topic} at {frame.stamp} has a category {one.category_id} "
                    f"({one.category_name}), which the model does not have"
                )
        found = tuple(
            # Bags of earlier versions have no tracks.
            TrueSegment(int(one.id), int(one.category_id), track_id=int(getattr(one, "track_id", 0)))
            for one in segments.segments
        )
        return _checked(TrueSegments(ids, found), self._categories, frame)


class _Lookup:
    """Messages of a topic by the stamp of their header."""

    def __init__(self, bag: Bag, topic: str) -> None:
        # Another thread reads frames concurrently.
        self._bag, self._topic = bag.reopened(), topic
        self._numbers = _numbers_by_stamp(self._bag, topic)
        self._messages: Iterator[Any] = iter(())
        self._next = -1

    def find(self, stamp: int) -> Any:
        """Return the message with this stamp; None if there is none or it is corrupt."""
        number = self._numbers.get(stamp)
        if number is None:
            return None
        if number != self._next:
            self._messages = self._bag.messages(self._topic, number)
        self._next = number + 1
        return next(self._messages, None)


def _numbers_by_stamp(bag: Bag, topic: str) -> dict[int, int]:
    """Return the numbers of the messages by stamp, without those whose stamps are equal."""
    numbers = _numbers(bag.fingerprint, topic)
    if not numbers:
        stamps = [None if one is None else stamp_of(one) for one in bag.messages(topic)]
        counts = Counter(stamps)
        numbers.update((one, number) for number, one in enumerate(stamps) if one is not None and counts[one] == 1)
    return numbers


@lru_cache(maxsize=64)
def _numbers(fingerprint: tuple[str, int], topic: str) -> dict[int, int]:
    """Cache of `_numbers_by_stamp`, shared by all shards of a bag."""
    return {}


def _checked(truth: TrueSegments, categories: CategorySet, frame: BagFrame) -> TrueSegments:
    where = f"ground truth of {frame.key.topic} at {frame.stamp}"
    shape = frame.image.pixels.shape[:2] if frame.image is not None else truth.ids.shape
    if truth.ids.shape != shape:
        raise GroundTruthError(
            f"{where} is {truth.ids.shape[1]} x {truth.ids.shape[0]} pixels, the image {shape[1]} x {shape[0]}"
        )
    unlisted = set(np.unique(truth.ids).tolist()) - {0, *(one.id for one in truth.segments)}
    if unlisted:
        raise GroundTruthError(f"{where} has pixels of segment {min(unlisted)}, which is not in its list of segments")
    unknown = {one.category_id for one in truth.segments} - set(categories.by_id)
    if unknown:
        raise GroundTruthError(f"{where} has category {min(unknown)}, which is not in its list of categories")
    return truth


def _json_in(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(file for file in path.glob("*.json") if file.with_suffix("").is_dir())
    if len(found) != 1:
        raise GroundTruthError(
            f"{path} holds {len(found)} JSON files with a folder of PNGs of the same name; give one JSON file"
        )
    return found[0]


def _difference(true: CategorySet, known: CategorySet) -> str:
    """Describe the first difference; empty if there is none."""
    for category in {**true.by_id, **known.by_id}:
        one, other = true.by_id.get(category), known.by_id.get(category)
        if one is None or other is None or (one.name, one.is_thing) != (other.name, other.is_thing):
            return f"id {category} is {_named(one)} in the ground truth, {_named(other)} in the model"
    return ""


def _named(category: Any) -> str:
    return "nothing" if category is None else f"{category.name} ({'thing' if category.is_thing else 'stuff'})"


def _number_or_name(name: str) -> tuple[str, int | str]:
    return ("number", int(name)) if name.isdecimal() else ("name", name)


def _stamp_in(name: str) -> int | None:
    """Parse a file name that is a stamp; None if it is not."""
    if name.isdecimal():
        return int(name) if int(name) >= FIRST_STAMP else None
    whole, point, fraction = name.partition(".")
    return _nanoseconds(name) if point and whole.isdecimal() and fraction.isdecimal() else None


def _nanoseconds(value: Any) -> int | None:
    """Convert an integer (nanoseconds) or another number (seconds) to nanoseconds."""
    if isinstance(value, int):
        return value
    with suppress(InvalidOperation):
        return int((Decimal(str(value)) * 10**9).to_integral_value())
    return None


TYPES = {"16UC1": "u2", "mono16": "u2", "8UC1": "u1", "mono8": "u1", "32SC1": "i4"}
"""NumPy types by encoding."""


def decode_label_image(message: Any) -> np.ndarray:
    """Decode a `sensor_msgs/Image` of segment ids to (H, W) int32.

    Raises:
        UnusableImageError: it is not an image of segment ids, or its sizes are inconsistent.
    """
    if message.encoding not in TYPES:
        raise UnusableImageError("encoding", f"an image of segment ids is {' or '.join(TYPES)}, not {message.encoding}")
    kind = np.dtype(TYPES[message.encoding]).newbyteorder(">" if message.is_bigendian else "<")
    row = message.width * kind.itemsize
    data = np.frombuffer(message.data, np.uint8)
    if message.step < row or data.size < message.step * message.height:
        raise UnusableImageError("sizes", f"{data.size} bytes for {message.width} x {message.height} segment ids")
    rows = data[: message.step * message.height].reshape(message.height, message.step)[:, :row]
    return np.ascontiguousarray(rows).view(kind).astype(np.int32)
