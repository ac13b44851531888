# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The node chooses what runs its network, says so, and segments with it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from ciae_ros.core.diagnostics import NodeDiagnostics
from ciae_ros.core.processes import stop
from tests.node.harness import Client, start_node

STAMP = 123_456_789
SMALL = {"model": "scenes_light", "device": "cpu", "input_size": "64", "expected_sizes": "[64x48]"}


class Output:
    """The lines that a process prints, read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._process = process
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines += iter(self._process.stdout)

    def text(self) -> str:
        """Return the output after the end of the process."""
        self._thread.join()
        return "".join(self.lines)


def diagnostics(client: Client) -> NodeDiagnostics:
    """Return the last diagnostics of the node; without a model while there are none."""
    status = client.statuses.get("/panoptic_node: node")
    values = {entry.key: entry.value for entry in status.values} if status else {}
    return NodeDiagnostics.from_values(values) or NodeDiagnostics("")


@pytest.fixture
def client(ros: None) -> Iterator[Client]:
    found = Client()
    yield found
    found.destroy_node()


@pytest.mark.slow
def test_the_choice_is_in_the_log_and_in_the_diagnostics(client: Client) -> None:
    process = start_node(**SMALL, backend="auto", precision="auto")
    output = Output(process)
    try:
        client.wait_until_active(process)
        client.publish(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), STAMP)
        client.wait(lambda: STAMP in client.labels and diagnostics(client).execution)
        # A size that was not expected is segmented, too.
        client.publish(np.zeros((64, 64, 3), np.uint8), STAMP + 1)
        client.wait(lambda: STAMP + 1 in client.labels)
        found = diagnostics(client)
    finally:
        stop(process)
    assert found.execution.startswith("fastest of ")
    chosen = found.execution.removeprefix("fastest of ").split()
    assert chosen[1] == found.precision
    assert ("OpenVINO" in found.device) == (chosen[0] == "openvino")
    assert found.execution in output.text()


@pytest.mark.slow
def test_a_backend_that_is_demanded_is_used(client: Client) -> None:
    pytest.importorskip("openvino", reason="needs requirements-openvino.txt")
    process = start_node(**SMALL, backend="openvino", precision="fp32")
    output = Output(process)
    try:
        client.wait_until_active(process)
        client.publish(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), STAMP)
        client.wait(lambda: STAMP in client.labels and diagnostics(client).device)
        assert diagnostics(client).device.startswith("cpu, OpenVINO")
    finally:
        stop(process)
    assert "fastest of" not in output.text()
