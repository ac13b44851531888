# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Sources of the player, and its messages."""

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

from ciae_ros.camera.image_source import SourceError, open_source
from ciae_ros.core.processes import stop
from tests.node.harness import nanoseconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, played in the order of their names, and a file that is not an image."""
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((20, 30, 3), 80 * i, np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_folder_is_played_in_the_order_of_names(folder: Path) -> None:
    source = open_source(str(folder))
    assert source.length == 3
    assert [int(frame[0, 0, 0]) for frame in source.frames] == [0, 80, 160]


def test_video_has_its_own_rate_and_all_frames(data: Path) -> None:
    source = open_source(str(data / "video" / "udacity_vehicle_test_video.mp4"))
    assert source.rate == pytest.approx(25, abs=1)
    assert not source.is_live
    assert len(list(source.frames)) == source.length == 38


def test_invalid_sources_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    for source in ("", "/no/such/file", str(tmp_path / "broken.mp4"), str(tmp_path), str(tmp_path / "images")):
        with pytest.raises(SourceError):
            list(open_source(source).frames)


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
