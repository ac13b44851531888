# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The player publishes a source like a camera."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from ciae_ros.core.processes import stop
from tests.node.harness import nanoseconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, played in the order of their names, and a file that is not an image."""
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((20, 30, 3), 80 * i, np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


@pytest.mark.parametrize("compressed", [False, True])
def test_player_loops_and_stamps_its_images(ros: None, folder: Path, compressed: bool) -> None:
    listener = Node("listener")
    received: list[Image | CompressedImage] = []
    listener.create_subscription(CompressedImage if compressed else Image, "/image", received.append, 10)
    settings = {"source": folder, "loop": "true", "rate": "30.0", "wait_for_subscribers": 1, "compressed": compressed}
    arguments = [item for name, value in settings.items() for item in ("-p", f"{name}:={str(value).lower()}")]
    arguments[1] = f"source:={folder}"
    player = subprocess.Popen([sys.executable, "-m", "ciae_ros.node.cli.image_player", "--ros-args", *arguments])
    try:
        while len(received) < 7:
            assert player.poll() is None
            rclpy.spin_once(listener, timeout_sec=0.1)
    finally:
        assert stop(player) == 0
        listener.destroy_node()
    stamps = [nanoseconds(message.header) for message in received]
    assert stamps == sorted(set(stamps))
    assert {message.header.frame_id for message in received} == {"camera"}
    first = received[0]
    if isinstance(first, CompressedImage):
        assert cv2.imdecode(np.frombuffer(first.data, np.uint8), cv2.IMREAD_COLOR).shape == (20, 30, 3)
    else:
        assert (first.height, first.width, first.encoding) == (20, 30, "bgr8")
