# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Publisher of the node's diagnostics, and its status line in the log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.node import Node

from ciae_ros.core.diagnostics import NodeDiagnostics
from ciae_ros.inference import Predictor
from ciae_ros.node.camera_stream import CameraStream
from ciae_ros.node.diagnostics.status import (
    DIAGNOSTICS_PERIOD,
    ERROR,
    OK,
    Finding,
    camera_diagnostics,
    camera_findings,
    diagnostic_array,
    diagnostic_status,
    status_line,
)
from ciae_ros.node.parameters.definitions import NodeParameters
from ciae_ros.node.segmenter import Segmenter


@dataclass(frozen=True)
class NodeStatus:
    """A snapshot of the node, because transitions on another thread may change it concurrently."""

    state: str
    """Lifecycle state."""
    fault: str
    """Why the process will end; empty if it will not."""
    parameters: NodeParameters
    streams: Mapping[str, CameraStream]
    segmenter: Segmenter | None
    predictor: Predictor | None
    max_batch: int


class DiagnosticsPublisher:
    """Publishes a status for the node and one for each camera."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._last_line = 0.0

    def publish(self, status: NodeStatus) -> None:
        """Publish the diagnostics, and log the status line when it is due."""
        snapshots = {name: stream.statistics.snapshot() for name, stream in status.streams.items()}
        name = self._node.get_fully_qualified_name()
        device = status.predictor.device_name if status.predictor is not None else ""
        values = _node_diagnostics(status).to_values()
        statuses = [diagnostic_status(f"{name}: node", device, self._findings(status), values)]
        for camera, stream in status.streams.items():
            snapshot, findings = snapshots[camera], [Finding(OK, status.state)]
            if status.segmenter is not None:
                reason = stream.diagnose_no_images() if snapshot.silent_for > status.parameters.stale_after else ""
                findings = camera_findings(snapshot, status.parameters, reason)
            values = camera_diagnostics(stream.topic, snapshot).to_values()
            statuses.append(diagnostic_status(f"{name}: camera {camera}", stream.topic, findings, values))
        self._publisher.publish(diagnostic_array(self._node.get_clock().now().to_msg(), *statuses))
        period, now = status.parameters.status_period, time.monotonic()
        # The timer is not exact: lines that are due within half of its period are logged.
        if period and status.segmenter is not None and now - self._last_line >= period - DIAGNOSTICS_PERIOD / 2:
            self._last_line = now
            self._node.get_logger().info(status_line(status.state, snapshots))

    def restart_status_lines(self) -> None:
        """Restart the period of the status lines."""
        self._last_line = time.monotonic()

    def wait_for_acknowledgements(self, seconds: float) -> None:
        """Wait until the subscribers have acknowledged the last message."""
        self._publisher.wait_for_all_acked(Duration(seconds=seconds))

    def _findings(self, status: NodeStatus) -> list[Finding]:
        findings = [Finding(ERROR, status.fault)] if status.fault else []
        busy = status.segmenter.busy_seconds() if status.segmenter is not None else 0.0
        if busy > status.parameters.stuck_after:
            findings.append(Finding(ERROR, f"a frame has been in the network for {busy:.0f} s"))
        own = (self._node.get_name(), self._node.get_namespace())
        others = self._node.get_node_names_and_namespaces().count(own) - 1
        if others > 0:
            name = self._node.get_fully_qualified_name()
            findings.append(
                Finding(ERROR, f"{others} more nodes are named {name}: give each a unique name or namespace")
            )
        return findings


def _node_diagnostics(status: NodeStatus) -> NodeDiagnostics:
    predictor = status.predictor
    if predictor is None:
        return NodeDiagnostics(status.state)
    return NodeDiagnostics(
        state=status.state,
        model=predictor.name,
        digest=predictor.digest,
        device=predictor.device_name,
        precision=predictor.precision,
        execution=predictor.execution_reason,
        device_memory=predictor.reserved_bytes(),
        max_batch=status.max_batch,
    )
