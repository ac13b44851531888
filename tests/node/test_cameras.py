# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Topics to cameras: names of their outputs, compressed or not, and what is refused."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from ciae_ros.node.cameras import cameras_of
from ciae_ros.node.parameters import NodeParameters, ParameterError


def test_the_only_camera_has_its_outputs_in_the_nodes_namespace() -> None:
    (camera,) = cameras_of(NodeParameters(cameras=("/front/image_raw",)))
    assert camera.output("labels") == "~/labels"
    assert camera.name == "front/image_raw"
    assert camera.info_topic == "/front/camera_info"
    assert not camera.is_compressed


def test_several_cameras_have_namespaces_made_from_their_topics() -> None:
    topics = ("/front/image_raw", "/camera/rear/image_raw/compressed", "side")
    front, rear, side = cameras_of(NodeParameters(cameras=topics))
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
    assert [camera.namespace for camera in cameras_of(parameters)] == ["left", "right/far"]
    assert all(camera.is_compressed for camera in cameras_of(parameters))


@pytest.mark.parametrize(
    ("cameras", "names", "message"),
    [
        ((), ("",), "at least one topic"),
        (("image", ""), ("",), "none that is empty"),
        (("a b",), ("",), "'a b' is no topic name"),
        (("image", "image"), ("",), "cameras: 'image' occurs twice"),
        (("/a/image_raw", "/a/image_raw/compressed"), ("",), "several cameras would be called 'a'"),
        (("/a", "/b"), ("one",), "1 names for 2 cameras"),
        (("/a", "/b"), ("x", "x"), "camera_names: 'x' occurs twice"),
        (("/a", "/b"), ("x", "../y"), "'../y' must be of letters"),
    ],
)
def test_what_cannot_be_is_refused(cameras: tuple[str, ...], names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        cameras_of(NodeParameters(cameras=cameras, camera_names=names))
