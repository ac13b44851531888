# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A client of the node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from tests.node.panoptic_3d.harness import SceneClient


@pytest.fixture
def client(ros: None) -> Iterator[SceneClient]:
    client = SceneClient()
    yield client
    client.destroy_node()
