# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Topics of a camera: remapping, and frames that are not taken."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ciae_ros.node.camera_stream import CameraStream
from ciae_ros.node.cameras import parse_cameras
from ciae_ros.node.frame_scheduler import FrameScheduler
from ciae_ros.node.parameters.definitions import NodeParameters
from tests.node.harness import Client, node_in_this_process

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


@pytest.mark.parametrize(
    ("cameras", "remappings", "images", "info"),
    [
        (("image",), ("image:=/front/image_raw",), "/front/image_raw", "/front/camera_info"),
        (("image",), ("image:=/front/image_raw/compressed",), "/front/image_raw/compressed", "/front/camera_info"),
        (("image",), ("image:=/front/image_raw", "camera_info:=/calibrated"), "/front/image_raw", "/calibrated"),
        (("image",), ("camera_info:=/calibrated",), "/image", "/calibrated"),
        (("/a/image",), ("/a/image:=/b/image", "/b/camera_info:=/c/info"), "/b/image", "/c/info"),
        (("/a/image",), (), "/a/image", "/a/camera_info"),
    ],
)
def test_the_calibration_is_expected_next_to_remapped_images(
    ros: None, cameras: tuple[str, ...], remappings: tuple[str, ...], images: str, info: str
) -> None:
    rules = [argument for remapping in remappings for argument in ("-r", remapping)]
    node = Node("remapped", cli_args=["--ros-args", *rules] if rules else None)
    parameters = NodeParameters(cameras=cameras)
    (camera,) = parse_cameras(parameters)
    stream = CameraStream(node, camera, parameters, itertools.count(1))
    stream.subscribe(lambda name, frame: None, lambda: 0.0)
    subscribed = {subscription.topic_name: subscription.msg_type for subscription in node.subscriptions}
    expected = CompressedImage if images.endswith("/compressed") else Image
    assert (subscribed[images], subscribed[info]) == (expected, CameraInfo)
    node.destroy_node()


def test_frames_that_come_after_the_end_are_counted_as_stopped(ros: None) -> None:
    node, parameters = Node("stopped"), NodeParameters(cameras=("image",))
    (camera,) = parse_cameras(parameters)
    stream = CameraStream(node, camera, parameters, itertools.count(1))
    scheduler = FrameScheduler([camera.name])
    stream.subscribe(scheduler.put, lambda: 0.0)
    receive = next(each.callback for each in node.subscriptions if each.msg_type is Image)
    receive(Image())
    receive(Image())
    assert stream.statistics.snapshot().dropped == {"superseded": 1}
    waiting = scheduler.close()
    receive(Image())
    receive(Image())
    assert len(waiting) == 1
    assert stream.statistics.snapshot().dropped == {"superseded": 1, "stopped": 2}
    node.destroy_node()


def test_labels_and_segments_do_not_wait_for_the_overlay(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from ciae_ros.node.publishing import result_publisher  # noqa: PLC0415

    draw, may_draw = result_publisher.render_overlay, threading.Event()
    may_draw.set()

    def wait_and_draw(*arguments: object) -> np.ndarray:
        assert may_draw.wait(120)
        return draw(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(result_publisher, "render_overlay", wait_and_draw)
    with node_in_this_process():
        client.subscribe_to_overlay()
        client.wait_for_results()
        for stamp in itertools.count(10):
            # Sequentially, so that nothing is in flight while drawing is blocked.
            client.publish(IMAGE, stamp)
            client.wait(lambda stamp=stamp: stamp in client.labels)
            if client.overlays and client.semantics:
                client.wait(lambda stamp=stamp: stamp in client.overlays)
                break
        may_draw.clear()
        try:
            client.publish(IMAGE, 7)
            client.wait(lambda: 7 in client.labels and 7 in client.segments and 7 in client.semantics)
            assert 7 not in client.overlays
        finally:
            may_draw.set()
        client.wait(lambda: 7 in client.overlays)
