# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What the node publishes on /diagnostics, and the line about it in the log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.node import Node

from ciae_ros.inference import Predictor
from ciae_ros.node.camera_stream import CameraStream
from ciae_ros.node.diagnostics import (
    ERROR,
    OK,
    Finding,
    camera_findings,
    camera_values,
    diagnostic_array,
    status,
    status_line,
)
from ciae_ros.node.parameters import NodeParameters
from ciae_ros.node.segmenter import Segmenter

DIAGNOSTICS_PERIOD = 1.0
"""Seconds between messages on /diagnostics."""


@dataclass(frozen=True)
class NodeStatus:
    """What there is to say about a node at a moment; transitions on another thread may change the node meanwhile."""

    state: str
    """Of the life cycle."""
    fault: str
    """Why the process ends; empty while it does not."""
    parameters: NodeParameters
    streams: Mapping[str, CameraStream]
    segmenter: Segmenter | None
    predictor: Predictor | None
    max_batch: int


class DiagnosticsPublisher:
    """One status for the node and one for each camera."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._last_line = 0.0

    def publish(self, of: NodeStatus) -> None:
        """Say how the node and its cameras are doing; now and then in the log, too."""
        snapshots = {name: stream.statistics.snapshot() for name, stream in of.streams.items()}
        name = self._node.get_fully_qualified_name()
        device = of.predictor.device_name if of.predictor is not None else ""
        statuses = [status(f"{name}: node", device, self._findings(of), _values(of))]
        for camera, stream in of.streams.items():
            snapshot, findings = snapshots[camera], [Finding(OK, of.state)]
            if of.segmenter is not None:
                why = stream.why_silent() if snapshot.silent_for > of.parameters.stale_after else ""
                findings = camera_findings(snapshot, of.parameters, why)
            values = camera_values(stream.topic, snapshot)
            statuses.append(status(f"{name}: camera {camera}", stream.topic, findings, values))
        self._publisher.publish(diagnostic_array(self._node.get_clock().now().to_msg(), *statuses))
        period, now = of.parameters.status_period, time.monotonic()
        # The timer is not exact: what is due within half of its period is due.
        if period and of.segmenter is not None and now - self._last_line >= period - DIAGNOSTICS_PERIOD / 2:
            self._last_line = now
            self._node.get_logger().info(status_line(of.state, snapshots))

    def restart_status_lines(self) -> None:
        """The next line is due after a whole period."""
        self._last_line = time.monotonic()

    def wait_for_listeners(self, seconds: float) -> None:
        """Until those who listen have what was published last."""
        self._publisher.wait_for_all_acked(Duration(seconds=seconds))

    def _findings(self, of: NodeStatus) -> list[Finding]:
        findings = [Finding(ERROR, of.fault)] if of.fault else []
        busy = of.segmenter.busy_seconds() if of.segmenter is not None else 0.0
        if busy > of.parameters.stuck_after:
            findings.append(Finding(ERROR, f"a frame has been in the network for {busy:.0f} s"))
        own = (self._node.get_name(), self._node.get_namespace())
        others = self._node.get_node_names_and_namespaces().count(own) - 1
        if others > 0:
            name = self._node.get_fully_qualified_name()
            findings.append(Finding(ERROR, f"{others} more nodes are called {name}: give each a name or namespace"))
        return findings


def _values(of: NodeStatus) -> dict[str, object]:
    values: dict[str, object] = {"state": of.state}
    if of.predictor is not None:
        values |= {"model": of.predictor.name, "model digest": of.predictor.digest}
        values |= {"device": of.predictor.device_name, "precision": of.predictor.precision}
        reserved = of.predictor.reserved_bytes()
        values["device memory [MiB]"] = "none" if reserved is None else f"{reserved / 2**20:.0f}"
        values["images at once"] = of.max_batch
    return values
