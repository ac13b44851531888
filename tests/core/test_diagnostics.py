# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Diagnostics are restored from the strings of the messages, and distinguished from each other."""

from __future__ import annotations

import pytest

from ciae_ros.core.diagnostics import CameraDiagnostics, NodeDiagnostics, PlayerDiagnostics, StageSummary

CAMERA = CameraDiagnostics(
    topic="/front/image_raw",
    received=12,
    segmented=9,
    unfinished=1,
    dropped={"over rate": 1, "stale": 1},
    over_budget=2,
    events={"deadline missed": 3},
    rate_in=10.5,
    rate_out=8.25,
    stages={"network": StageSummary(0.02, 0.03, 0.04, 0.025), "frame": StageSummary(0.05, 0.06, 0.07, 0.055)},
)
NODE = NodeDiagnostics("active", "light", "0123456789ab", "cpu", "fp32", None, 2)
ALL = [
    CAMERA,
    NODE,
    NodeDiagnostics("active", "r50", "ab", "H100", "fp16", 300 * 2**20, 1),
    NodeDiagnostics(
        "active", "light", "ab", "cpu", "bf16", None, 1, "fastest of torch bf16 9.0 ms, torch fp32 12.0 ms"
    ),
    NodeDiagnostics("finalized"),
]


@pytest.mark.parametrize("original", [*ALL, PlayerDiagnostics(250)])
def test_strings_are_parsed_to_the_same_values(original: CameraDiagnostics | NodeDiagnostics) -> None:
    assert type(original).from_values(original.to_values()) == original


def test_a_status_is_not_parsed_as_another_kind() -> None:
    kinds = {type(one) for one in ALL} | {PlayerDiagnostics}
    for one in [*ALL, PlayerDiagnostics(1)]:
        for kind in kinds - {type(one)}:
            assert kind.from_values(one.to_values()) is None
    assert CameraDiagnostics.from_values({"somebody": "else"}) is None
