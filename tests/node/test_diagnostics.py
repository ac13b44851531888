# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Levels with their reasons, and the status line."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from ciae_ros.node.diagnostics.frame_statistics import Snapshot
from ciae_ros.node.diagnostics.status import camera_findings, diagnostic_status
from ciae_ros.node.parameters.definitions import NodeParameters
from tests.node.harness import Client, node_in_this_process

HEALTHY = Snapshot(
    received=100,
    segmented=90,
    dropped={"superseded": 10},
    over_budget=0,
    events={},
    recent_events={},
    rate_in=10.0,
    rate_out=9.0,
    bad_share=0.0,
    over_budget_share=0.0,
    silent_for=0.1,
)
OK, WARN, ERROR, STALE = (getattr(DiagnosticStatus, name) for name in ("OK", "WARN", "ERROR", "STALE"))


@pytest.mark.parametrize(
    ("snapshot", "parameters", "level", "text"),
    [
        ({}, {}, OK, "ok"),
        ({"silent_for": 6.0}, {}, STALE, "no image for 6 s: nobody"),
        ({"silent_for": 6.0}, {"stale_after": 7.0}, OK, "ok"),
        ({"bad_share": 0.1, "dropped": {"stale": 3, "superseded": 5}}, {}, WARN, "10% of the images"),
        ({"bad_share": 0.1}, {"warn_bad_share": 0.2}, OK, "ok"),
        ({"bad_share": 0.6, "dropped": {"undecodable": 3}}, {}, ERROR, "in all: undecodable 3"),
        ({"bad_share": 0.6, "dropped": {"undecodable": 3}}, {"error_bad_share": 0.7}, WARN, "60%"),
        ({"over_budget_share": 0.2}, {"latency_budget": 0.1}, WARN, "20% of the results took longer than 0.1 s"),
        ({"over_budget_share": 0.8}, {"latency_budget": 0.1}, ERROR, "80%"),
        ({}, {"min_rate": 9.5}, WARN, "9.0 results/s, fewer than 9.5"),
        ({"events": {"incompatible QoS": 1}}, {}, WARN, "incompatible QoS (1)"),
        ({"events": {"deadline missed": 4}}, {}, OK, "ok"),
        ({"events": {"deadline missed": 4}, "recent_events": {"deadline missed": 1}}, {}, WARN, "deadline missed (4)"),
        ({"silent_for": 9.0, "bad_share": 0.6}, {}, STALE, "no image for 9 s"),
    ],
)
def test_level_and_reason(snapshot: dict, parameters: dict, level: bytes, text: str) -> None:
    findings = camera_findings(replace(HEALTHY, **snapshot), replace(NodeParameters(), **parameters), "nobody")
    message = diagnostic_status("camera", "/image", findings, {})
    assert message.level == level
    assert text in message.message


def status_lines(client: Client, capfd: pytest.CaptureFixture[str], period: float) -> list[dict]:
    with node_in_this_process(diagnostics__status_period=period):
        client.wait_for_results()
        client.publish(np.zeros((60, 80, 3), np.uint8), 5)
        until = time.monotonic() + 3.5
        client.wait(lambda: time.monotonic() > until)
    lines = [line for line in capfd.readouterr().err.splitlines() if "status {" in line]
    return [json.loads(line.split("status ", 1)[1]) for line in lines]


def test_the_status_line_is_json_and_can_be_turned_off(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    lines = status_lines(client, capfd, period=1.0)
    assert 2 <= len(lines) <= 5
    assert lines[-1]["state"] == "active"
    camera = lines[-1]["cameras"]["image"]
    assert camera["received"] == camera["segmented"] + sum(camera["dropped"].values())
    assert camera["p50_ms"] > 0
    assert status_lines(client, capfd, period=0.0) == []


def test_diagnostics_name_the_model_and_the_state(client: Client) -> None:
    with node_in_this_process(state="inactive"):
        client.wait(lambda: "/panoptic_node: node" in client.statuses)
        values = {pair.key: pair.value for pair in client.statuses["/panoptic_node: node"].values}
    assert values["state"] == "inactive"
    assert values["model"] == "light_512 (untrained)"
    assert values["model digest"] == "untrained"
    assert values["device"] == "cpu"
