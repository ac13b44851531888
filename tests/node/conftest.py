# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A running node for tests that only communicate with it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from ciae_ros.core.processes import stop
from tests.node.harness import SMALL, Client, start_node


@pytest.fixture(scope="module")
def node(ros: None) -> Iterator[subprocess.Popen[str]]:
    """A running, active node."""
    process = start_node(**SMALL)
    yield process
    stop(process)


@pytest.fixture
def client(ros: None) -> Iterator[Client]:
    client = Client()
    yield client
    client.destroy_node()
