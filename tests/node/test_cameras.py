# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Parsing of cameras: names of their outputs, compressed topics, and refusals."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from ciae_ros.node.cameras import parse_cameras
from ciae_ros.node.parameters.definitions import NodeParameters
from ciae_ros.node.parameters.errors import ParameterError


def test_the_only_camera_has_its_outputs_in_the_nodes_namespace() -> None:
    (camera,) = parse_cameras(NodeParameters(cameras=("/front/image_raw",)))
    assert camera.output("labels") == "~/labels"
    assert camera.name == "front/image_raw"
    assert camera.info_topic == "/front/camera_info"
    assert not camera.is_compressed


def test_several_cameras_have_namespaces_made_from_their_topics() -> None:
    topics = ("/front/image_raw", "/camera/rear/image_raw/compressed", "side")
    front, rear, side = parse_cameras(NodeParameters(cameras=topics))
    assert [camera.namespace for camera in (front, rear, side)] == ["front", "camera/rear", "side"]
    assert [camera.is_compressed for camera in (front, rear, side)] == [False, True, False]
    assert rear.output("labels") == "~/camera/rear/labels"
    assert [camera.info_topic for camera in (front, rear, side)] == [
        "/front/camera_info",
        "/camera/rear/camera_info",
        "camera_info",
    ]


def test_names_may_be_chosen() -> None:
    parameters = NodeParameters(cameras=("/a/image", "/b/image"), camera_names=("left", "right/far"), compressed=True)
    assert [camera.namespace for camera in parse_cameras(parameters)] == ["left", "right/far"]
    assert all(camera.is_compressed for camera in parse_cameras(parameters))


@pytest.mark.parametrize(
    ("cameras", "names", "message"),
    [
        ((), ("",), "at least one topic"),
        (("image", ""), ("",), "no empty ones"),
        (("a b",), ("",), "'a b' is not a valid topic name"),
        (("/a/",), ("",), "'/a/' is not a valid topic name.*must not end with a forward slash"),
        (("//a",), ("",), "'//a' is not a valid topic name.*must not contain repeated '/'"),
        (("a//b",), ("",), "'a//b' is not a valid topic name.*must not contain repeated '/'"),
        (("{x}/a",), ("",), "'{x}/a' is not a valid topic name.*unknown substitution"),
        (("image", "image"), ("",), "cameras: 'image' is repeated"),
        (("/a/image_raw", "/a/image_raw/compressed"), ("",), "several cameras would be named 'a'"),
        (("/a", "/b"), ("one",), "1 names for 2 cameras"),
        (("/a", "/b"), ("x", "x"), "camera_names: 'x' is repeated"),
        (("/a", "/b"), ("x", "../y"), "'../y' must consist of letters"),
    ],
)
def test_invalid_cameras_are_refused(cameras: tuple[str, ...], names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse_cameras(NodeParameters(cameras=cameras, camera_names=names))
