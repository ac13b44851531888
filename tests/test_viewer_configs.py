# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The viewers' configurations contain only existing topics and values of the node."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

CONFIG = Path(__file__).parents[1] / "config"
IMAGE = "sensor_msgs/msg/Image"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
PLOTTED = re.compile(r'(/\w+)\.status\[:\]\{hardware_id=="([^"]+)"\}\.values\[:\]\{key=="([^"]+)"\}\.value')


@dataclass(frozen=True)
class Graph:
    """Topics and diagnostics of a node with default parameters."""

    types: dict[str, list[str]]
    """Topics that it publishes or subscribes to."""
    statuses: dict[str, tuple[str, set[str]]]
    """Hardware id and keys by names in /diagnostics."""


@pytest.fixture(scope="module")
def graph(ros: None) -> Graph:
    from tests.node.harness import Client, node_in_this_process  # noqa: PLC0415

    with node_in_this_process() as node:
        client = Client()
        client.wait_for_results()
        client.publish(np.zeros((48, 64, 3), np.uint8), 1)
        client.wait(lambda: client.counts.get("segmented", "0") != "0")
        where = node.get_name(), node.get_namespace()
        types = dict(node.get_publisher_names_and_types_by_node(*where))
        types |= dict(node.get_subscriber_names_and_types_by_node(*where))
        statuses = {
            name: (status.hardware_id, {pair.key for pair in status.values}) for name, status in client.statuses.items()
        }
        client.destroy_node()
    return Graph(types, statuses)


@pytest.fixture
def rviz() -> dict[str, Any]:
    return yaml.safe_load((CONFIG / "panoptic.rviz").read_text())


@pytest.fixture
def foxglove() -> dict[str, Any]:
    return json.loads((CONFIG / "foxglove_layout.json").read_text())


def test_rviz_shows_images_of_the_node(rviz: dict[str, Any], graph: Graph) -> None:
    displays = rviz["Visualization Manager"]["Displays"]
    assert {display["Class"] for display in displays} == {"rviz_default_plugins/Image"}
    for display in displays:
        topic = display["Topic"]["Value"]
        assert graph.types.get(topic) == [IMAGE], f"{display['Name']} shows {topic}"


def test_rviz_window_has_a_place_for_each_display(rviz: dict[str, Any]) -> None:
    geometry = rviz["Window Geometry"]
    panes = [pane["Name"] for pane in rviz["Panels"] + rviz["Visualization Manager"]["Displays"]]
    for pane in panes:
        # Qt stores the windows' names as big-endian UTF-16, preceded by the length in bytes.
        name = pane.encode("utf-16-be")
        assert (len(name).to_bytes(4, "big") + name).hex() in geometry["QMainWindow State"], pane
        assert geometry[pane] == {"collapsed": False}


def test_foxglove_panels_show_topics_of_the_node(foxglove: dict[str, Any], graph: Graph) -> None:
    panels = foxglove["configById"]
    assert sorted(_panels_in(foxglove["layout"])) == sorted(panels)
    for name, panel in panels.items():
        kind = name.split("!")[0]
        if kind == "Image":
            assert graph.types.get(panel["imageMode"]["imageTopic"]) == [IMAGE], name
        elif kind.startswith("Diagnostic"):
            assert graph.types.get(panel["topicToRender"]) == [DIAGNOSTICS], name
        else:
            assert kind == "Plot"


def test_foxglove_finds_the_camera_and_its_rates_in_the_diagnostics(foxglove: dict[str, Any], graph: Graph) -> None:
    panels = foxglove["configById"]
    selected = panels["DiagnosticStatusPanel!camera"]
    hardware, keys = graph.statuses[selected["selectedName"]]
    assert hardware == selected["selectedHardwareId"]
    for path in panels["Plot!rates"]["paths"]:
        match = PLOTTED.fullmatch(path["value"])
        assert match, path["value"]
        topic, plotted_hardware, key = match.groups()
        assert graph.types[topic] == [DIAGNOSTICS]
        assert (plotted_hardware, key in keys) == (hardware, True), path["value"]


def _panels_in(layout: str | dict[str, Any]) -> list[str]:
    if isinstance(layout, str):
        return [layout]
    assert layout["direction"] in ("row", "column")
    return _panels_in(layout["first"]) + _panels_in(layout["second"])


CLOUD, MARKERS = "sensor_msgs/msg/PointCloud2", "visualization_msgs/msg/MarkerArray"


@pytest.fixture(scope="module")
def graph_3d(ros: None) -> Graph:
    """Topics and diagnostics of `panoptic_3d` with its default parameters."""
    from tests.node.panoptic_3d.harness import SceneClient, panoptic_3d_in_this_process  # noqa: PLC0415

    with panoptic_3d_in_this_process() as node:
        client = SceneClient()
        client.wait(lambda: "/panoptic_3d: labels" in client.statuses)
        types = dict(node.get_publisher_names_and_types_by_node(node.get_name(), node.get_namespace()))
        statuses = {
            name: (status.hardware_id, {pair.key for pair in status.values}) for name, status in client.statuses.items()
        }
        client.destroy_node()
    return Graph(types, statuses)


def test_rviz_shows_points_and_objects(graph: Graph, graph_3d: Graph) -> None:
    config = yaml.safe_load((CONFIG / "panoptic_3d.rviz").read_text())
    kinds = {"PointCloud2": CLOUD, "MarkerArray": MARKERS, "Image": IMAGE}
    displays = {
        display["Class"].removeprefix("rviz_default_plugins/"): display
        for display in config["Visualization Manager"]["Displays"]
    }
    assert displays.keys() == {*kinds, "Grid"}
    for name, kind in kinds.items():
        topic = displays[name]["Topic"]["Value"]
        assert (graph.types | graph_3d.types).get(topic) == [kind], topic


def test_foxglove_shows_points_and_objects(graph: Graph, graph_3d: Graph) -> None:
    layout = json.loads((CONFIG / "foxglove_layout_3d.json").read_text())
    panels, types = layout["configById"], graph.types | graph_3d.types
    assert sorted(_panels_in(layout["layout"])) == sorted(panels)
    assert {topic: types.get(topic) for topic in panels["3D!scene"]["topics"]} == {
        "/panoptic_3d/points": [CLOUD],
        "/panoptic_3d/markers": [MARKERS],
    }
    assert types[panels["Image!overlay"]["imageMode"]["imageTopic"]] == [IMAGE]
    selected = panels["DiagnosticStatusPanel!labels"]
    assert graph_3d.statuses[selected["selectedName"]][0] == selected["selectedHardwareId"]
