# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`panoptic_node` and `panoptic_3d` in the same process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from sensor_msgs.msg import CameraInfo, Image

from ciae_ros.core.processes import stop
from ciae_ros.node.cli.arguments import END_OF_3D, WITH_3D, split_arguments
from ciae_ros.node.exit_codes import CONFIGURATION_ERROR
from tests.node.harness import SMALL, start_node
from tests.node.panoptic_3d.harness import SceneClient, read_cloud
from tests.node.panoptic_3d.small_scene import CAMERA, FRAME, HEIGHT, START, WIDTH, depth_messages
from tests.rendering.messages import camera_info, image


def arguments_3d(*parameters: str) -> list[str]:
    settings = [argument for parameter in parameters for argument in ("-p", parameter)]
    return ["-m", "ciae_ros.node.cli.panoptic_node", WITH_3D, "--ros-args", *settings, END_OF_3D]


def test_labels_reach_the_3d_node_without_a_subscription(client: SceneClient) -> None:
    program = arguments_3d("depth:=/depth/image", "image:=/image", "sync.timeout:=5.0")
    # Also small regions of untrained weights are segments.
    node = start_node(*program, **SMALL, min_stuff_area="1")
    client.advertise(
        ("/camera_info", CameraInfo), ("/image", Image), ("/depth/camera_info", CameraInfo), ("/depth/image", Image)
    )
    client.wait_for_subscribers()
    colors = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    frame = [
        ("/camera_info", START, camera_info(START, FRAME, CAMERA)),
        *depth_messages(START),
        ("/image", START, image(START, FRAME, colors, "bgr8")),
    ]
    client.publish_until_answered(frame, START)
    assert client.count_publishers("/panoptic_node/labels") == 1
    assert client.count_subscribers("/panoptic_node/labels") == 0
    assert stop(node) == 0
    points = read_cloud(client.clouds[START])[0]
    assert len(points) == HEIGHT * WIDTH
    assert points["segment_id"].max() >= 1
    blue, green, red = colors.reshape(-1, 3).T.astype(np.uint32)
    np.testing.assert_array_equal(points["rgb"].view(np.uint32), red << 16 | green << 8 | blue)


def test_an_invalid_parameter_of_the_3d_node_is_refused_at_start() -> None:
    node = start_node(*arguments_3d("boxes.alignment:=gravity"), **SMALL)
    output, _ = node.communicate(timeout=60)
    assert node.returncode == CONFIGURATION_ERROR
    assert "parameter boxes.alignment: gravity needs gravity_frame" in output


def test_arguments_are_divided_between_the_nodes() -> None:
    own = ["panoptic_node", "--ros-args", "-p", "device:=cpu"]
    of_3d = ["--ros-args", "-p", "depth:=/d"]
    assert split_arguments([own[0], WITH_3D, *of_3d, END_OF_3D, *own[1:]]) == (own, of_3d)
    assert split_arguments([*own, WITH_3D, *of_3d]) == (own, of_3d)


def test_the_3d_node_alone_does_not_import_pytorch() -> None:
    code = "import sys, ciae_ros.node.cli.panoptic_3d; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
