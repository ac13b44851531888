# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The parameter files agree with the declarations of the nodes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")
from rclpy.node import Node

from ciae_ros.node.panoptic_3d.definitions import Panoptic3dParameters
from ciae_ros.node.parameters.definitions import NodeParameters
from ciae_ros.node.parameters.errors import ParameterError
from ciae_ros.node.parameters.fields import ParameterSet, changeable_names, field_names
from ciae_ros.node.parameters.values import declare_parameters, read_parameters

CONFIG = Path(__file__).parents[2] / "config"
FILES = {NodeParameters: CONFIG / "panoptic.yaml", Panoptic3dParameters: CONFIG / "panoptic_3d.yaml"}


@pytest.mark.parametrize("kind", FILES)
def test_parameter_file_lists_every_parameter_with_its_default(kind: type[ParameterSet]) -> None:
    listed = yaml.safe_load(FILES[kind].read_text())["/**"]["ros__parameters"]
    defaults = asdict(kind())
    as_yaml = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
    assert listed == {name: as_yaml[key] for name, key in field_names(kind).items()}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in FILES for name in field_names(kind)])
def test_every_parameter_has_a_comment_that_marks_changeable_ones(kind: type[ParameterSet], name: str) -> None:
    (line,) = (line for line in FILES[kind].read_text().splitlines() if line.strip().startswith(f"{name}:"))
    _, _, comment = line.partition(" # ")
    assert comment
    assert comment.startswith("(*)") == (name in changeable_names(kind))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expected_sizes": []}, "expected_sizes: give at least one"),
        ({"expected_sizes": ["1280*720"]}, "'1280[*]720' is not a WIDTHxHEIGHT"),
        ({"expected_sizes": ["0x5"]}, "'0x5' is not a WIDTHxHEIGHT"),
        ({"labels_resolution": "half"}, "labels_resolution: 'half' must be one of input, network"),
    ],
)
def test_values_that_no_range_can_refuse_are_refused(ros: None, changes: dict, message: str) -> None:
    node = Node("parameters")
    try:
        declare_parameters(node, NodeParameters)
        with pytest.raises(ParameterError, match=message):
            read_parameters(node, NodeParameters, changes)
    finally:
        node.destroy_node()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": ""}, "depth: give a topic of depth images, or one of points"),
        ({"boxes.alignment": "gravity"}, "boxes.alignment: gravity needs gravity_frame"),
        ({"boxes.alignment": "level"}, "boxes.alignment: 'level' must be one of camera, gravity, oriented"),
        ({"depth.nearest": 70.0}, "depth.nearest: 70.0 must be less than depth.farthest"),
    ],
)
def test_values_of_panoptic_3d_that_cannot_work_are_refused(ros: None, changes: dict, message: str) -> None:
    node = Node("parameters_3d")
    try:
        declare_parameters(node, Panoptic3dParameters)
        with pytest.raises(ParameterError, match=message):
            read_parameters(node, Panoptic3dParameters, changes)
    finally:
        node.destroy_node()
