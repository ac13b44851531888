# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""One running node for the tests that only talk to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from ciae_ros.processes import stop
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
