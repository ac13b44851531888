# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`ros2 launch ciae_ros panoptic.launch.py` with `panoptic_3d`, in its own process or in that of `panoptic_node`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
if not importlib.util.find_spec("launch_ros") or not importlib.util.find_spec("ros2launch"):
    pytest.skip("needs ros2 launch, which is in a ROS distribution only", allow_module_level=True)

import rclpy
from sensor_msgs.msg import CameraInfo, Image

from ciae_ros.spatial.camera_model import CameraModel
from tests.launch.harness import interrupt, launch, ros2
from tests.node.harness import START_TIMEOUT
from tests.node.panoptic_3d.harness import SceneClient, read_cloud
from tests.rendering.messages import camera_info, image

CAMERA = CameraModel(48, 64, np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]]), np.zeros(0))
STAMP = 5_000_000_000


@pytest.fixture
def client() -> Iterator[SceneClient]:
    rclpy.try_shutdown()
    rclpy.init()
    client = SceneClient(namespace="/robot/panoptic_3d")
    yield client
    client.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.parametrize(("where", "processes"), [("process", 2), ("same_process", 1)])
def test_one_argument_starts_the_3d_node_in_its_own_or_the_same_process(
    workspace: dict[str, str], client: SceneClient, tmp_path: Path, where: str, processes: int
) -> None:
    arguments = "model:=untrained/light_512", "device:=cpu", "image_topic:=/camera/image_raw", "namespace:=/robot"
    arguments_3d = f"panoptic_3d:={where}", "depth:=/depth/image_raw", "color_image:=/camera/image_raw"
    navigation = "groups:=navigation", "semantic_encoding:=mono8"
    process = launch(workspace, tmp_path, "panoptic.launch.py", *arguments, *arguments_3d, *navigation)
    try:
        client.advertise(
            ("/camera/camera_info", CameraInfo),
            ("/camera/image_raw", Image),
            ("/depth/camera_info", CameraInfo),
            ("/depth/image_raw", Image),
        )
        client.wait(client.has_subscribers, START_TIMEOUT)
        colors = np.full((48, 64, 3), (10, 20, 30), np.uint8)
        frame = [
            ("/camera/camera_info", STAMP, camera_info(STAMP, "camera", CAMERA)),
            ("/depth/camera_info", STAMP, camera_info(STAMP, "camera", CAMERA)),
            ("/depth/image_raw", STAMP, image(STAMP, "camera", np.full((48, 64), 1500, np.uint16), "16UC1")),
            ("/camera/image_raw", STAMP, image(STAMP, "camera", colors, "bgr8")),
        ]
        client.publish_until_answered(frame, STAMP)
        children = psutil.Process(process.pid).children(recursive=True)
        assert sum("panoptic_" in " ".join(child.cmdline()) for child in children) == processes
        assert "boxes.alignment" in ros2(workspace, "param", "list", "/robot/panoptic_3d")
        assert "mono8" in ros2(workspace, "param", "get", "/robot/panoptic_node", "semantic.encoding")
        topics = {name for name, _ in client.get_topic_names_and_types()}
        assert {f"/robot/panoptic_3d/points/{name}" for name in ("traversable", "dynamic", "obstacle")} <= topics
    finally:
        output = interrupt(process)
    assert process.returncode == 0, output
    assert output.count("process has finished cleanly") == processes, output
    assert "Traceback" not in output
    points = read_cloud(client.clouds[STAMP])[0]
    assert len(points) == 48 * 64
    assert set(points["rgb"].view(np.uint32)) == {30 << 16 | 20 << 8 | 10}
    np.testing.assert_allclose(points["z"], 1.5)
