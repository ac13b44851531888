# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""How the node and its cameras are doing, as diagnostic tools show it and as a line in the log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from ciae_ros.node.frame_statistics import INTENDED, Snapshot
from ciae_ros.node.qos import INCOMPATIBLE

if TYPE_CHECKING:  # Parameters need PyTorch, which a player of images does not.
    from ciae_ros.node.parameters import NodeParameters

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)


@dataclass(frozen=True)
class Finding:
    """A level and the reason for it."""

    level: bytes
    text: str


def camera_findings(snapshot: Snapshot, parameters: NodeParameters, why_silent: str) -> list[Finding]:
    """What is wrong with an active node's camera.

    Args:
        snapshot: its counts.
        parameters: the thresholds.
        why_silent: a reason, in case that no images come.
    """
    findings = []
    if snapshot.silent_for > parameters.stale_after:
        findings.append(Finding(STALE, f"no image for {snapshot.silent_for:.0f} s: {why_silent}"))
    if snapshot.bad_share > parameters.warn_bad_share:
        level = ERROR if snapshot.bad_share > parameters.error_bad_share else WARN
        reasons = ", ".join(f"{reason} {count}" for reason, count in snapshot.dropped.items() if reason not in INTENDED)
        findings.append(Finding(level, f"{snapshot.bad_share:.0%} of the images could not be used (in all: {reasons})"))
    if snapshot.over_budget_share > 0:
        level = ERROR if snapshot.over_budget_share > parameters.error_bad_share else WARN
        text = f"{snapshot.over_budget_share:.0%} of the results took longer than {parameters.latency_budget} s"
        findings.append(Finding(level, text))
    if snapshot.rate_out < parameters.min_rate:
        findings.append(Finding(WARN, f"{snapshot.rate_out:.1f} results/s, fewer than {parameters.min_rate}"))
    for kind, count in snapshot.events.items():
        # What is incompatible stays so; the rest passes.
        if kind == INCOMPATIBLE or kind in snapshot.recent_events:
            findings.append(Finding(WARN, f"{kind} ({count})"))
    return findings


def camera_values(topic: str, snapshot: Snapshot) -> dict[str, object]:
    """A camera's counts, rates and stage times, for people and programs."""
    values: dict[str, object] = {
        "topic": topic,
        "received": snapshot.received,
        "segmented": snapshot.segmented,
        "unfinished": snapshot.unfinished,
    }
    values |= {f"dropped, {reason}": count for reason, count in sorted(snapshot.dropped.items())}
    values |= {"over latency budget": snapshot.over_budget}
    values |= {f"QoS, {kind}": count for kind, count in sorted(snapshot.events.items())}
    values |= {"rate in [1/s]": f"{snapshot.rate_in:.2f}", "rate out [1/s]": f"{snapshot.rate_out:.2f}"}
    for stage, summary in snapshot.stages.items():
        times = (summary.p50, summary.p90, summary.p99, summary.mean)
        values[f"{stage} p50 p90 p99 mean [ms]"] = " ".join(f"{1e3 * seconds:.2f}" for seconds in times)
    return values


def status(name: str, hardware: str, findings: list[Finding], values: Mapping[str, object]) -> DiagnosticStatus:
    """A status at the worst of the findings' levels; a dead camera is worse than a bad one."""
    return DiagnosticStatus(
        level=max((finding.level for finding in findings), default=OK),
        name=name,
        hardware_id=hardware,
        message="; ".join(finding.text for finding in findings) or "ok",
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )


def diagnostic_array(stamp: Time, *statuses: DiagnosticStatus) -> DiagnosticArray:
    """The statuses in one message."""
    return DiagnosticArray(header=Header(stamp=stamp), status=list(statuses))


def status_line(state: str, snapshots: Mapping[str, Snapshot]) -> str:
    """The node in one line of JSON, for logs that programs read."""
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
