# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Diagnostics of the node and its cameras, as messages and as a line in the log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from ciae_ros.core.diagnostics import CameraDiagnostics
from ciae_ros.node.diagnostics.frame_statistics import EXPECTED_DROPS, Snapshot
from ciae_ros.node.qos import INCOMPATIBLE

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)


DIAGNOSTICS_PERIOD = 1.0
"""Seconds between messages on /diagnostics."""


class Thresholds(Protocol):
    """The parameters that findings depend on."""

    @property
    def stale_after(self) -> float: ...

    @property
    def warn_bad_share(self) -> float: ...

    @property
    def error_bad_share(self) -> float: ...

    @property
    def latency_budget(self) -> float: ...

    @property
    def min_rate(self) -> float: ...


@dataclass(frozen=True)
class Finding:
    """A diagnostic level and its reason."""

    level: bytes
    text: str


def camera_findings(
    snapshot: Snapshot, parameters: Thresholds, no_images_reason: str, what: str = "image"
) -> list[Finding]:
    """Return the problems of a camera of an active node.

    Args:
        snapshot: counters of the camera.
        parameters: thresholds.
        no_images_reason: reason to report if none arrive.
        what: what is received.
    """
    findings = []
    if snapshot.silent_for > parameters.stale_after:
        findings.append(Finding(STALE, f"no {what} for {snapshot.silent_for:.0f} s: {no_images_reason}"))
    if snapshot.bad_share > parameters.warn_bad_share:
        level = ERROR if snapshot.bad_share > parameters.error_bad_share else WARN
        reasons = ", ".join(
            f"{reason} {count}" for reason, count in snapshot.dropped.items() if reason not in EXPECTED_DROPS
        )
        findings.append(
            Finding(level, f"{snapshot.bad_share:.0%} of the {what}s could not be used (in all: {reasons})")
        )
    if snapshot.over_budget_share > 0:
        level = ERROR if snapshot.over_budget_share > parameters.error_bad_share else WARN
        text = f"{snapshot.over_budget_share:.0%} of the results took longer than {parameters.latency_budget} s"
        findings.append(Finding(level, text))
    if snapshot.rate_out < parameters.min_rate:
        findings.append(Finding(WARN, f"{snapshot.rate_out:.1f} results/s, fewer than {parameters.min_rate}"))
    for kind, count in snapshot.events.items():
        # Incompatible QoS persists; other events are transient.
        if kind == INCOMPATIBLE or kind in snapshot.recent_events:
            findings.append(Finding(WARN, f"{kind} ({count})"))
    return findings


def camera_diagnostics(topic: str, snapshot: Snapshot) -> CameraDiagnostics:
    """Return the counters, rates and stage times of a camera."""
    return CameraDiagnostics(
        topic=topic,
        received=snapshot.received,
        segmented=snapshot.segmented,
        unfinished=snapshot.unfinished,
        dropped=snapshot.dropped,
        over_budget=snapshot.over_budget,
        events=snapshot.events,
        rate_in=snapshot.rate_in,
        rate_out=snapshot.rate_out,
        stages=snapshot.stages,
    )


def diagnostic_status(name: str, hardware: str, findings: list[Finding], values: Mapping[str, str]) -> DiagnosticStatus:
    """Create a status with the worst level of the findings; STALE is worse than ERROR."""
    return DiagnosticStatus(
        level=max((finding.level for finding in findings), default=OK),
        name=name,
        hardware_id=hardware,
        message="; ".join(finding.text for finding in findings) or "ok",
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def diagnostic_array(stamp: Time, *statuses: DiagnosticStatus) -> DiagnosticArray:
    """Combine statuses into one message."""
    return DiagnosticArray(header=Header(stamp=stamp), status=list(statuses))


def status_line(state: str, snapshots: Mapping[str, Snapshot]) -> str:
    """Format the status of the node as one line of JSON, for log processing."""
    cameras = {}
    for camera, snapshot in snapshots.items():
        frame = snapshot.stages.get("frame")
        cameras[camera] = {
            "in": round(snapshot.rate_in, 1),
            "out": round(snapshot.rate_out, 1),
            "received": snapshot.received,
            "segmented": snapshot.segmented,
            "dropped": snapshot.dropped,
            "p50_ms": frame and round(1e3 * frame.p50, 1),
            "p99_ms": frame and round(1e3 * frame.p99, 1),
        }
    return "status " + json.dumps({"state": state, "cameras": cameras})
