# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Copying of a bag with the panoptic results of its images added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.interfaces import Qos
from rosbags.rosbag2 import Writer
from rosbags.rosbag2.errors import ReaderError
from rosbags.rosbag2.metadata import parse_qos
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.base import TypesysError
from tqdm import tqdm

from ciae_ros.camera.camera_image import CameraImage
from ciae_ros.camera.camera_topics import camera_namespace
from ciae_ros.inference import PanopticResult, Segment
from ciae_ros.replay.bags.bag import Bag, open_bag
from ciae_ros.replay.bags.bag_writing import header, new_mcap_file, raw_image
from ciae_ros.replay.bags.definitions import IMAGE, SEGMENTS, typestore
from ciae_ros.replay.bags.image_topics import choose_topics, describe_unread
from ciae_ros.replay.bags.recorded import RecordedTopic
from ciae_ros.replay.bags.types import BagError, BagFrame
from ciae_ros.tracking.tracker import Tracker
from ciae_ros.visualization import draw_overlay

NAMESPACE = "/panoptic_node"
"""Namespace of the results, that of the node: configurations for RViz and Foxglove work with a bag as with a robot."""

RESULTS = {"labels": IMAGE, "overlay": IMAGE, "segments": SEGMENTS}


class RecordingReport(NamedTuple):
    """What a user should know about a recording, one line each."""

    problems: list[str]
    """Problems with the bag, and what could not be copied."""
    notes: list[str]
    """Topics that are not meant to be segmented or copied."""


def record_results(
    path: Path,
    output: Path,
    segment: Callable[[CameraImage], PanopticResult],
    model: str,
    topics: Sequence[str] | None = None,
) -> RecordingReport:
    """Copy a bag and add labels, segments and overlay of each image, with its header and time.

    The topics are those of the node: /panoptic_node/labels for a bag with one camera, and with several
    /panoptic_node/front/labels for /front/image_raw.

    Args:
        path: path of the bag.
        output: MCAP file to write.
        segment: segments an image.
        model: name of the model.
        topics: image topics; None for all that a camera may have published.

    Raises:
        BagError: the bag or a topic in it cannot be read, or the output exists.
        OSError: the output cannot be written.
    """
    with open_bag(path) as bag:
        cameras, notes = _cameras(bag, topics)
        with new_mcap_file(output) as writer:
            not_copied = _Copier(bag, writer).copy()
            track_ids = count(1)
            for topic, namespace in cameras.items():
                _add_results(bag, topic, namespace, writer, segment, model, Tracker(track_ids))
        return RecordingReport([*bag.problems, *not_copied], notes)


def _cameras(bag: Bag, topics: Sequence[str] | None) -> tuple[dict[str, str], list[str]]:
    """Return the namespaces of the results by image topic, and notes on topics that are not read."""
    if topics is not None and (missing := [topic for topic in topics if topic not in bag.image_topics()]):
        there = ", ".join(bag.image_topics()) or "none"
        raise BagError(f"{bag.path} has no images on {missing[0]}; its image topics: {there}")
    chosen = choose_topics(bag, topics)
    cameras = _namespaces(chosen.topics)
    results = {f"{namespace}/{name}" for namespace in cameras.values() for name in RESULTS}
    if there_already := sorted(results & set(bag.topics)):
        raise BagError(f"{bag.path} already has {there_already[0]}: give a bag without results")
    return cameras, describe_unread([chosen])


def _namespaces(topics: Sequence[str]) -> dict[str, str]:
    """Return the namespace of the results by image topic."""
    names = {topic: f"{NAMESPACE}/{camera_namespace(topic)}" for topic in topics} if len(topics) > 1 else {}
    cameras = names or {topics[0]: NAMESPACE}
    if repeated := [one for one, count in Counter(cameras.values()).items() if count > 1]:
        both = " and ".join(topic for topic, namespace in cameras.items() if namespace == repeated[0])
        raise BagError(f"the results of {both} would both be below {repeated[0]}: choose one with --topics")
    return cameras


class _Copier:
    """Copies all messages of a bag unchanged."""

    def __init__(self, bag: Bag, writer: Writer) -> None:
        self._bag, self._writer = bag, writer
        self._connections: dict[tuple[str, str], Any] = {}
        self._not_copied: list[str] = []

    def copy(self) -> list[str]:
        """Copy the messages; returns what could not be copied, one line each."""
        total = sum(info.count for info in self._bag.topics.values())
        for message in tqdm(self._bag.all_messages(), "copying", total, unit=" messages", disable=None):
            key = message.topic.topic, message.topic.msgtype
            if key not in self._connections:
                self._connections[key] = self._new(message.topic)
            if self._connections[key] is not None:
                self._writer.write(self._connections[key], message.log_time, message.data)
        return self._not_copied

    def _new(self, topic: RecordedTopic) -> Any:
        """Add a connection; None if its message definition is unknown, without which the file would be unreadable."""
        try:
            text, digest = _definition(topic)
        except (TypesysError, KeyError) as error:
            self._not_copied.append(
                f"{topic.topic} is skipped: the definition of {topic.msgtype} is neither in the bag nor "
                f"known ({' '.join(str(error).split())})"
            )
            return None
        qos = _qos_profiles(topic.qos)
        return self._writer.add_connection(
            topic.topic, topic.msgtype, msgdef=text, rihs01=digest, offered_qos_profiles=qos
        )


def _qos_profiles(recorded: str) -> list[Qos]:
    """Parse recorded profiles; none if they are not written as rosbag2 writes them, because playback can do without."""
    try:
        return parse_qos(recorded)
    except (ReaderError, AttributeError, KeyError, TypeError, ValueError):
        return []


def _definition(topic: RecordedTopic) -> tuple[str, str]:
    """Return text and hash of a message type: from the bag, or from the known definitions."""
    kind, text = topic.msgtype, topic.definition
    if not text:
        return typestore().generate_msgdef(kind, ros_version=2)[0], typestore().hash_rihs01(kind)
    if topic.digest:
        return text, topic.digest
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_idl(text) if topic.is_idl else get_types_from_msg(text, kind))
    return text, store.hash_rihs01(kind)


def _add_results(
    bag: Bag,
    topic: str,
    namespace: str,
    writer: Writer,
    segment: Callable[[CameraImage], PanopticResult],
    model: str,
    tracker: Tracker,
) -> None:
    connections = {
        name: writer.add_connection(f"{namespace}/{name}", kind, typestore=typestore())
        for name, kind in RESULTS.items()
    }
    frames = tqdm(bag.frames(topic), topic, bag.topics[topic].count, unit=" frames", disable=None)
    for frame in frames:
        if frame.image is None:
            continue
        result = tracker.update(segment(frame.image), 1e-9 * frame.stamp, frame.image.pixels)
        for name, message in _results_of(frame, frame.image, result, model).items():
            data = typestore().serialize_cdr(message, RESULTS[name])
            writer.write(connections[name], frame.log_time, data)


def _results_of(frame: BagFrame, image: CameraImage, result: PanopticResult, model: str) -> dict[str, Any]:
    of_frame = header(frame.stamp, frame.frame_id)
    return {
        "labels": raw_image(of_frame, result.label_map, "16UC1"),
        "overlay": raw_image(of_frame, draw_overlay(image.to_bgr(), result)),
        "segments": _segments(of_frame, result, model),
    }


def _segments(of_frame: Any, result: PanopticResult, model: str) -> Any:
    height, width = result.label_map.shape
    return typestore().types[SEGMENTS](of_frame, height, width, model, [_segment(one) for one in result.segments])


def _segment(segment: Segment) -> Any:
    types = typestore().types
    x, y, width, height = segment.box
    return types["ciae_msgs/msg/PanopticSegment"](
        id=segment.id,
        category_id=segment.category.id,
        category_name=segment.category.name,
        is_thing=segment.category.is_thing,
        score=segment.score,
        area=segment.area,
        box=types["sensor_msgs/msg/RegionOfInterest"](x, y, height, width, do_rectify=False),
        centroid=types["geometry_msgs/msg/Point32"](*segment.centroid, z=0.0),
        track_id=segment.track_id,
    )
