"""The parameter file that people copy says what the node declares."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")
from ciae_ros.node.parameters import NAMES, NodeParameters

CONFIG = Path(__file__).parents[2] / "config" / "panoptic.yaml"


def test_parameter_file_lists_every_parameter_with_its_default() -> None:
    listed = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]
    defaults = asdict(NodeParameters())
    assert listed == {name: defaults[key] for name, key in NAMES.items()}


def test_every_parameter_has_a_comment() -> None:
    lines = CONFIG.read_text().splitlines()
    for name in NAMES:
        (line,) = (line for line in lines if line.strip().startswith(f"{name}:"))
        assert "#" in line, name
