# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The cameras of the node and the names of their topics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.exceptions import InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_topic_name import validate_topic_name

from ciae_ros.camera.camera_topics import COMPRESSED_SUFFIX, camera_info_topic, camera_namespace
from ciae_ros.node.parameters.definitions import NodeParameters
from ciae_ros.node.parameters.errors import ParameterError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class Camera:
    """One camera."""

    topic: str
    """Image topic, as in the parameter."""
    is_compressed: bool
    """Whether the images are sensor_msgs/CompressedImage."""
    namespace: str
    """Namespace of its outputs below ~/; empty for the only camera of a node, whose outputs are in ~/ itself."""

    @property
    def name(self) -> str:
        """Unique, human-readable name."""
        return self.namespace or self.topic.strip("/")

    def output(self, topic: str) -> str:
        """Return the name of an output topic."""
        return f"~/{self.namespace}/{topic}" if self.namespace else f"~/{topic}"

    @property
    def info_topic(self) -> str:
        """CameraInfo topic, if neither topic is remapped."""
        return camera_info_topic(self.topic)


def parse_cameras(parameters: NodeParameters) -> list[Camera]:
    """Return the cameras that the parameters define.

    Raises:
        ParameterError: a topic or a namespace is invalid or repeated.
    """
    topics = parameters.cameras
    if not topics or not all(topics):
        raise ParameterError("parameter cameras: give at least one topic and no empty ones")
    for topic in topics:
        try:
            validate_topic_name(topic)
            # Only the full name reveals repeated slashes and unknown substitutions.
            validate_full_topic_name(expand_topic_name(topic, "panoptic_node", "/"))
        except (InvalidTopicNameException, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ParameterError(f"parameter cameras: {topic!r} is not a valid topic name: {reason}") from None
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
        names = [camera_namespace(topic) for topic in topics]
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise ParameterError(
                f"parameter camera_names: set it, because several cameras would be named {repeated[0]!r}"
            )
    if len(names) != len(topics):
        raise ParameterError(f"parameter camera_names: {len(names)} names for {len(topics)} cameras")
    for name in names:
        if not _NAME.fullmatch(name):
            raise ParameterError(
                f"parameter camera_names: {name!r} must consist of letters, digits and _, as in front/left"
            )
    _refuse_repeated("camera_names", names)
    return names


def _refuse_repeated(parameter: str, values: Sequence[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ParameterError(f"parameter {parameter}: {repeated[0]!r} is repeated")
