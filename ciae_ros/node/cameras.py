# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Which cameras the node listens to, and what their topics are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_topic_name import validate_topic_name

from ciae_ros.camera.camera_topics import COMPRESSED_SUFFIX, info_topic_beside, namespace_of
from ciae_ros.node.parameters import NodeParameters, ParameterError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class Camera:
    """One camera."""

    topic: str
    """Of its images, as the parameter has it."""
    is_compressed: bool
    """The images are sensor_msgs/CompressedImage."""
    namespace: str
    """Of its outputs below ~/; empty for the only camera of a node, whose outputs are in ~/ itself."""

    @property
    def name(self) -> str:
        """For people, and to tell cameras apart."""
        return self.namespace or self.topic.strip("/")

    def output(self, topic: str) -> str:
        """The name of one of its output topics."""
        return f"~/{self.namespace}/{topic}" if self.namespace else f"~/{topic}"

    @property
    def info_topic(self) -> str:
        """Of its sensor_msgs/CameraInfo, where neither topic is remapped."""
        return info_topic_beside(self.topic)


def cameras_of(parameters: NodeParameters) -> list[Camera]:
    """The cameras that the parameters name.

    Raises:
        ParameterError: a topic or a namespace cannot be one, or occurs twice.
    """
    topics = parameters.cameras
    if not topics or not all(topics):
        raise ParameterError("parameter cameras: give at least one topic, and none that is empty")
    for topic in topics:
        try:
            validate_topic_name(topic)
        except InvalidTopicNameException as error:
            reason = " ".join(str(error).split())
            raise ParameterError(f"parameter cameras: {topic!r} is no topic name: {reason}") from None
    _refuse_repeated("cameras", topics)
    names = _namespaces(parameters)
    return [
        Camera(topic, parameters.compressed or topic.endswith(COMPRESSED_SUFFIX), name)
        for topic, name in zip(topics, names, strict=True)
    ]


def _namespaces(parameters: NodeParameters) -> list[str]:
    topics, names = list(parameters.cameras), list(parameters.camera_names)
    if not any(names):
        if len(topics) == 1:
            return [""]
        names = [namespace_of(topic) for topic in topics]
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise ParameterError(f"parameter camera_names: set it, for several cameras would be called {repeated[0]!r}")
    if len(names) != len(topics):
        raise ParameterError(f"parameter camera_names: {len(names)} names for {len(topics)} cameras")
    for name in names:
        if not _NAME.fullmatch(name):
            raise ParameterError(f"parameter camera_names: {name!r} must be of letters, digits and _, as in front/left")
    _refuse_repeated("camera_names", names)
    return names


def _refuse_repeated(parameter: str, values: Sequence[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ParameterError(f"parameter {parameter}: {repeated[0]!r} occurs twice")
