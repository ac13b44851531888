# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Killed cameras, network failures, and two nodes with the same name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from ciae_ros.core.processes import start_module
from tests.node.harness import Client, node_in_this_process, udp_only
from tests.node.network_cut import LONG_CUT

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def test_a_killed_and_restarted_camera_is_segmented_again(ros_environment: dict[str, str], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), IMAGE)
    playing = {"source": str(tmp_path), "loop": True, "rate": 10.0}
    with udp_only():
        rclpy.init()
        client = Client()
        with node_in_this_process():
            client.destroy_publisher(client.images)
            for _ in range(2):
                client.labels.clear()
                camera = start_module("ciae_ros.node.cli.image_player", playing, dict(os.environ))
                try:
                    client.wait(lambda: len(client.labels) > 3, 60)
                finally:
                    camera.kill()
                    camera.wait()
        client.destroy_node()
        rclpy.try_shutdown()


def test_two_nodes_of_one_name_are_an_error_in_the_diagnostics(client: Client) -> None:
    elsewhere = rclpy.Context()
    rclpy.init(context=elsewhere)
    with node_in_this_process():
        other = Node("panoptic_node", context=elsewhere)
        name = "/panoptic_node: node"
        client.wait_for_fault("1 more nodes are named /panoptic_node")
        other.destroy_node()
        client.wait(lambda: client.statuses[name].level == DiagnosticStatus.OK)
    rclpy.try_shutdown(context=elsewhere)


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip"))),
    reason="needs root and unshare, nsenter and ip, to make network namespaces",
)
def test_results_resume_after_a_network_failure(ros_environment: dict[str, str]) -> None:
    made = subprocess.run(["unshare", "--net", "ip", "link", "add", "camera0", "type", "veth"], check=False)
    if made.returncode:
        pytest.skip("this kernel makes no pair of virtual interfaces")
    finished = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "tests.node.network_cut"],
        env=ros_environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    seconds = json.loads(finished.stdout.splitlines()[-1])
    assert seconds["answers during the short cut"] <= 2
    assert seconds["answers during the long cut"] <= 2
    assert LONG_CUT > 20, "DDS would still know the participants"
    # It waits up to a minute for each.
    assert min(seconds["after the short cut"], seconds["after the long cut"]) > 0
