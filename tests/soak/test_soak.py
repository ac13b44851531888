# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A minimal soak test: its counts are consistent for any duration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")


@pytest.mark.slow
def test_a_short_soak_accounts_for_every_image(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.soak",
        "--minutes",
        "0.25",
        "--input-size",
        "128",
        "--output",
        str(tmp_path),
    ]
    finished = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=200, check=False
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["held"]["the node lived, and ended with code 0"], finished.stderr
    assert report["held"]["every image is accounted for"], report["cameras"]
    assert all(camera["sent"] > 20 for camera in report["cameras"].values())
    assert report["cameras"]["rear"]["dropped, unknown encoding"] > 0
    assert len(report["samples"]) > 5
