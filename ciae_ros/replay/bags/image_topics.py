# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Selection of the image topics of a bag that cameras have published."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ciae_ros.camera.camera_topics import COMPRESSED_SUFFIX
from ciae_ros.core.images.errors import ImageError
from ciae_ros.core.images.png import GRAY, HEADER_SIZE, pixel_format
from ciae_ros.core.images.signatures import PNG
from ciae_ros.replay.bags.bag import Bag
from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE, SEGMENTS
from ciae_ros.replay.bags.types import BagError

RESULT_IMAGES = ("labels", "overlay", "semantic")
"""Image topics that a node publishes next to its segments."""
VALUES = re.compile(r"\d+[USF]C\d*")
"""OpenCV's names of types, such as 16UC1: arrays of numbers, as depth and labels, not colours or brightness."""
COMPRESSED_DEPTH_HEADER = 12
"""Bytes that compressed_depth_image_transport writes before the PNG."""
INSPECTED_MESSAGES = 10
"""Maximum number of messages in which a readable one is looked for."""
NAMES_SHOWN = 5
"""Maximum number of topics in a line."""


class ChosenTopics(NamedTuple):
    """Image topics of a bag, and topics that are not read."""

    topics: list[str]
    left_out: dict[str, str]
    """Image topics that are not of a camera, and what they contain, such as 16UC1."""
    other_encodings: dict[str, str]
    """Topics with messages that are not of ROS 2, and their encodings."""


def choose_topics(bag: Bag, topics: Sequence[str] | None = None) -> ChosenTopics:
    """Choose the image topics of a bag.

    Args:
        bag: an open bag.
        topics: image topics that the user has named; None for all that a camera may have published. These are not the
            results of a node, compressed copies of raw topics, and images of depth or other values.

    Raises:
        BagError: it has none of them.
    """
    if topics is not None:
        chosen = [topic for topic in topics if topic in bag.image_topics()]
        if not chosen:
            raise BagError(f"{bag.path} has no images on {' or '.join(topics)}; its topics: {_types(bag)}")
        return ChosenTopics(chosen, {}, bag.other_encodings)
    contents = {topic: _values_in(bag, topic) for topic in _possible_cameras(bag)}
    left_out = {topic: content for topic, content in contents.items() if content}
    cameras = [topic for topic, content in contents.items() if not content]
    if not cameras:
        reason = f"its {_left_out_line(left_out)}" if left_out else f"its topics: {_types(bag)}"
        raise BagError(f"{bag.path} has no images of a camera; {reason}")
    return ChosenTopics(cameras, left_out, bag.other_encodings)


def describe_unread(bags: Iterable[ChosenTopics]) -> list[str]:
    """Name the topics of some bags that are not read: a line for each reason."""
    left_out: dict[str, str] = {}
    other_encodings: dict[str, str] = {}
    for chosen in bags:
        left_out |= chosen.left_out
        other_encodings |= chosen.other_encodings
    lines = []
    if left_out:
        lines.append(_left_out_line(left_out))
    if other_encodings:
        lines.append(f"topics are not read, because their messages are not of ROS 2: {_listed(other_encodings)}")
    return lines


def _possible_cameras(bag: Bag) -> list[str]:
    """Return the image topics that by their names are neither a node's results nor copies of raw topics."""
    images = bag.image_topics()
    namespaces = [topic.rpartition("/")[0] for topic, info in bag.topics.items() if info.type == SEGMENTS]
    results = {f"{namespace}/{name}" for namespace in namespaces for name in RESULT_IMAGES}
    return [
        topic
        for topic in images
        if not any(topic == result or topic.startswith(f"{result}/") for result in results)
        and not (topic.endswith(COMPRESSED_SUFFIX) and topic.removesuffix(COMPRESSED_SUFFIX) in images)
    ]


def _values_in(bag: Bag, topic: str) -> str:
    """Name what the first readable image of a topic contains if it is not an image of a camera; empty if it may be."""
    describe = _compressed_values if bag.topics[topic].type == COMPRESSED_IMAGE else _raw_values
    first = (message for message in islice(bag.messages(topic), INSPECTED_MESSAGES) if message is not None)
    return next((describe(message) for message in first), "")


def _raw_values(message: Any) -> str:
    return str(message.encoding) if VALUES.fullmatch(message.encoding) else ""


def _compressed_values(message: Any) -> str:
    data = bytes(message.data[: COMPRESSED_DEPTH_HEADER + len(PNG) + HEADER_SIZE])
    encoding = message.format.partition(";")[0].strip()
    if "compressedDepth" in message.format or data[COMPRESSED_DEPTH_HEADER:].startswith(PNG):
        return "compressedDepth"
    if VALUES.fullmatch(encoding):
        return str(encoding)
    try:
        is_gray_16 = pixel_format(data) == (16, GRAY)
    except ImageError:
        return ""
    # Cameras with 16 bits of brightness publish mono16; depth has often no encoding in its format.
    return "16-bit grey PNG" if is_gray_16 and encoding != "mono16" else ""


def _left_out_line(left_out: Mapping[str, str]) -> str:
    return f"topics are not segmented, because they are not of a camera: {_listed(left_out)}; choose them with --topics"


def _listed(contents: Mapping[str, str]) -> str:
    shown = [f"{topic} ({content})" for topic, content in sorted(contents.items())]
    more = f" and {len(shown) - NAMES_SHOWN} more" if len(shown) > NAMES_SHOWN else ""
    return f"{', '.join(shown[:NAMES_SHOWN])}{more}"


def _types(bag: Bag) -> str:
    return ", ".join(f"{topic} ({info.type})" for topic, info in bag.topics.items()) or "none"
