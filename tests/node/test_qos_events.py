# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Incompatible quality of service: a line with topic, policy and remedy, and a warning in the diagnostics."""

from __future__ import annotations

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import LivelinessPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from tests.node.harness import Client, node_in_this_process

IMAGE = np.zeros((60, 80, 3), np.uint8)
CAMERA = "/panoptic_node: camera image"


def wait_for_warning(client: Client, text: str) -> DiagnosticStatus:
    def warned() -> bool:
        status = client.statuses.get(CAMERA)
        return status is not None and status.level != DiagnosticStatus.OK and text in status.message

    client.wait(warned)
    return client.statuses[CAMERA]


def log_lines(capfd: pytest.CaptureFixture[str], text: str) -> list[str]:
    """Return the lines of the node, without those of rclpy about the test's own topics."""
    return [line for line in capfd.readouterr().err.splitlines() if text in line and "[panoptic_node]" in line]


def test_an_incompatible_publisher_is_reported(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    with node_in_this_process(qos__input_reliability="reliable"):
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        client.create_publisher(Image, "/image", qos)
        wait_for_warning(client, "incompatible QoS (1)")
        assert client.counts["QoS, incompatible QoS"] == "1"
    (line,) = log_lines(capfd, "RELIABILITY")
    assert "/image: a publisher is incompatible because of its RELIABILITY policy" in line
    assert "set qos.input_reliability to best_effort" in line


def test_an_incompatible_subscriber_is_reported(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []

    def is_logged() -> bool:
        # The client's own subscription to the segments is incompatible too, and may be reported first.
        lines.extend(log_lines(capfd, "/panoptic_node/overlay: a subscriber is incompatible"))
        return bool(lines)

    with node_in_this_process(qos__output_reliability="best_effort"):
        client.create_subscription(Image, "/panoptic_node/overlay", lambda message: None, 10)
        wait_for_warning(client, "incompatible QoS")
        client.wait(is_logged)
    assert len(lines) == 1
    assert "RELIABILITY policy: set qos.output_reliability to reliable" in lines[0]


def test_a_missed_deadline(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    with node_in_this_process(qos__input_deadline=0.5):
        promised = client.create_publisher(Image, "/image", QoSProfile(depth=1, deadline=Duration(seconds=0.4)))
        client.destroy_publisher(client.images)
        client.images = promised
        client.wait_for_results()
        wait_for_warning(client, "deadline missed")
    (line,) = log_lines(capfd, "no image within")
    assert "/image: no image within 0.5 s (DEADLINE policy, qos.input_deadline)" in line


def test_a_camera_without_a_deadline_is_reported(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    with node_in_this_process(qos__input_deadline=0.5):
        wait_for_warning(client, "incompatible QoS")
    (line,) = log_lines(capfd, "DEADLINE")
    assert "set qos.input_deadline to 0, or have it offer a deadline of at most 0.5 s" in line


def test_a_lost_liveliness(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    lease = Duration(seconds=0.4)
    qos = QoSProfile(depth=1, liveliness=LivelinessPolicy.MANUAL_BY_TOPIC, liveliness_lease_duration=lease)
    with node_in_this_process(qos__input_liveliness_lease=0.5):
        client.destroy_publisher(client.images)
        client.images = client.create_publisher(Image, "/image", qos)
        client.wait_for_results()
        wait_for_warning(client, "liveliness lost")
        client.publish(IMAGE, 5)
        client.wait(lambda: 5 in client.labels)
    (line,) = log_lines(capfd, "no liveliness")
    assert "/image: a publisher showed no liveliness for 0.5 s (LIVELINESS policy" in line


def test_a_topic_of_another_type_is_named(client: Client) -> None:
    # A separate context is a separate DDS participant, like another process.
    elsewhere = rclpy.Context()
    rclpy.init(context=elsewhere)
    camera = Node("camera", context=elsewhere)
    camera.create_publisher(CompressedImage, "/camera/image", 1)
    name = "/panoptic_node: camera camera/image"
    with node_in_this_process(cameras=["/camera/image"], diagnostics__stale_after=0.5):
        client.wait(lambda: name in client.statuses and "/camera/image has type" in client.statuses[name].message)
    assert client.statuses[name].level == DiagnosticStatus.STALE
    assert "not sensor_msgs/msg/Image: set cameras or compressed" in client.statuses[name].message
    camera.destroy_node()
    rclpy.try_shutdown(context=elsewhere)
