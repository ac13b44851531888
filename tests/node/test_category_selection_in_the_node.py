# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The parameters `classes` and `class_map`, at start and while the node runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from rclpy.qos import DurabilityPolicy, QoSProfile

from ciae_ros.core.processes import stop
from ciae_ros.inference import Category
from ciae_ros.node.exit_codes import CONFIGURATION_ERROR
from ciae_ros.node.publishing.result_publisher import ResultPublisher
from tests.node.harness import Client, node_in_this_process, start_node

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
NODE = {
    "model": "untrained/light_512",
    "device": "cpu",
    "input_size": "128",
    "expected_sizes": "[64x48]",
    "min_stuff_area": "0",
    "score_threshold": "0.0",
    "max_instances": "20",
}


def categories_of(client: Client, stamp: int) -> dict[str, set[int]]:
    """Publish an image; returns the ids of its categories by name, after checking them with the semantic image."""
    client.publish(IMAGE, stamp)
    client.wait(lambda: stamp in client.segments and stamp in client.semantics and stamp in client.labels)
    segments = client.segments[stamp].segments
    semantic = np.frombuffer(client.semantics[stamp].data, np.uint16)
    labels = np.frombuffer(client.labels[stamp].data, np.uint16)
    assert set(np.unique(semantic).tolist()) - {0} == {segment.category_id for segment in segments}
    assert set(np.unique(labels).tolist()) - {0} == {segment.id for segment in segments}
    assert [segment.id for segment in segments] == list(range(1, len(segments) + 1))
    found: dict[str, set[int]] = {}
    for segment in segments:
        found.setdefault(segment.category_name, set()).add(segment.category_id)
    return found


def test_the_choice_changes_with_the_next_frame(ros: None) -> None:
    process = start_node(**NODE)
    client = Client()
    try:
        client.subscribe_to_overlay()
        client.wait_until_active(process)
        everything = categories_of(client, 1)
        stuff = sorted(name for name in everything if min(everything[name]) > 91)[:2]
        assert len(everything) > 3 and len(stuff) == 2
        assert client.set_parameters_of_node(classes=stuff) == [""]
        assert set(categories_of(client, 2)) == set(stuff)
        merged = f"ground = {stuff[1]}, {stuff[0]}"
        assert client.set_parameters_of_node(classes=[""], class_map=[merged]) == ["", ""]
        found = categories_of(client, 3)
        assert set(found) == set(everything) - set(stuff) | {"ground"}
        assert found["ground"] == everything[stuff[1]]
        # A refused change changes nothing.
        (reason,) = client.set_parameters_of_node(classes=["ground", "unicorn"])
        assert reason.startswith("parameter classes names 'unicorn', which does not exist: choose from ")
        (reason,) = client.set_parameters_of_node(class_map=["ground"])
        assert reason.startswith("parameter class_map: 'ground' is not a name and what it replaces")
        assert set(categories_of(client, 4)) == set(found)
        assert client.set_parameters_of_node(class_map=[""]) == [""]
        assert categories_of(client, 5) == everything
    finally:
        client.destroy_node()
        stop(process)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"classes": "[unicorn]"}, "parameter classes names 'unicorn', which does not exist"),
        ({"class_map": "['vehicle = car, road']"}, "parameter class_map merges things with stuff into 'vehicle'"),
        ({"class_map": "[vehicle]"}, "parameter class_map: 'vehicle' is not a name and what it replaces"),
    ],
)
def test_wrong_choices_are_refused_at_start(parameters: dict[str, str], message: str) -> None:
    process = start_node(**NODE, **parameters)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == CONFIGURATION_ERROR
    assert message in output
    assert "Traceback" not in output


def test_label_info_follows_the_choice_over_dds(ros: None) -> None:
    vision_msgs = pytest.importorskip("vision_msgs.msg", reason="needs vision_msgs, which a ROS distribution has")
    with node_in_this_process(device="cpu", class_map=["vehicle = car, truck"], classes=["vehicle", "road"]):
        client = Client()
        received: list[Any] = []
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        try:
            client.create_subscription(vision_msgs.LabelInfo, "/panoptic_node/label_info", received.append, latched)
            client.wait(lambda: received)
            assert [one.class_name for one in received[-1].class_map] == ["road", "vehicle"]
            assert client.set_parameters_of_node(classes=["sky-other-merged"]) == [""]
            client.wait(lambda: [one.class_name for one in received[-1].class_map] == ["sky-other-merged"])
        finally:
            client.destroy_node()


def test_label_info_follows_the_choice(ros: None, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[list[str]] = []

    def remember(publisher: ResultPublisher, header: Any, categories: tuple[Category, ...]) -> None:
        published.append([category.name for category in categories])

    monkeypatch.setattr(ResultPublisher, "publish_label_info", remember)
    with node_in_this_process(device="cpu", class_map=["vehicle = car, truck"], classes=["vehicle", "road"]):
        client = Client()
        try:
            assert published == [["road", "vehicle"]]
            assert client.set_parameters_of_node(classes=["sky-other-merged"]) == [""]
            assert published[-1] == ["sky-other-merged"]
        finally:
            client.destroy_node()
