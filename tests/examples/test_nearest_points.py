# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The example that reads labelled points, with the points of a running node."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from ciae_ros.core.processes import stop
from tests.node.panoptic_3d.harness import SceneClient, panoptic_3d_in_this_process
from tests.node.panoptic_3d.small_scene import SECOND, START, connect, depth_messages, label_messages, send

EXAMPLE = Path(__file__).parents[2] / "examples" / "nearest_points.py"


@pytest.fixture
def client(ros: None) -> Iterator[SceneClient]:
    client = SceneClient()
    yield client
    client.destroy_node()


def test_it_prints_the_nearest_point_of_each_category(client: SceneClient) -> None:
    lines: list[str] = []
    process = subprocess.Popen([sys.executable, EXAMPLE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reader = threading.Thread(target=lambda output: lines.extend(map(str.rstrip, output)), args=(process.stdout,))
    reader.start()
    try:
        with panoptic_3d_in_this_process(depth="/depth/image"):
            connect(client)
            number = 0
            while not lines:
                number += 1
                stamp = START + number * SECOND
                send(client, [*depth_messages(stamp, 3.0), *label_messages(stamp)])
                client.wait(lambda stamp=stamp: client.is_answered(stamp))
    finally:
        code = stop(process)
        reader.join()
    assert code == 0
    # The wall (7) is straight ahead; of the box (9) column 29 and row 23 are nearest to the axis.
    assert lines[-1].endswith("  7: 3.00 m, 9: 3.00 m")
