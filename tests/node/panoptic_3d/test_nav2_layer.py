# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What the semantic segmentation layer of Nav2 expects, and the example for it, compared with the real nodes.

The layer (kiwicampus/semantic_segmentation_layer at commit a70cf6e) synchronises mask, confidence and cloud by their
stamps; requires as many points as pixels; reads one byte per pixel without regard to rows; skips points whose z is not
finite; matches class names with those of LabelInfo; and subscribes to sensor data as best effort and to the names as
transient local.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from ciae_ros.inference.category_map import CategoryMap
from ciae_ros.node.publishing.messages import LabelInfo
from ciae_ros.node.stamps import nanoseconds
from tests.node.harness import node_in_this_process
from tests.node.panoptic_3d.harness import SceneClient, panoptic_3d_in_this_process, read_cloud
from tests.node.panoptic_3d.small_scene import CAMERA, FRAME, HEIGHT, LABELS, START, WIDTH, depth_at
from tests.node.true_labels import TrueLabels
from tests.rendering.messages import camera_info, image

CONFIG = Path(__file__).parents[3] / "config"
SENSOR_DATA = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL)
KINDS = {"segmentation_topic": Image, "confidence_topic": Image, "pointcloud_topic": PointCloud2}


@pytest.fixture(scope="module")
def costmap() -> dict[str, Any]:
    content = yaml.safe_load((CONFIG / "nav2_costmap.yaml").read_text())
    return content["local_costmap"]["local_costmap"]["ros__parameters"]


class Layer(SceneClient):
    """Subscribes as both layers of the example do."""

    def __init__(self, costmap: dict[str, Any]) -> None:
        super().__init__(with_points=False)
        source = costmap["semantic_layer"]["camera"]
        self.inputs: dict[str, dict[int, Any]] = {name: {} for name in KINDS}
        for name, kind in KINDS.items():
            self._store(kind, source[name], SENSOR_DATA, self.inputs[name])
        self.names: dict[int, Any] = {}
        if LabelInfo is not None:
            self._store(LabelInfo, source["labels_topic"], LATCHED, self.names)
        self.clouds_of_groups: dict[str, dict[int, Any]] = {}
        for one in costmap["obstacle_layer"]["observation_sources"].split():
            stored = self.clouds_of_groups.setdefault(one, {})
            self._store(PointCloud2, costmap["obstacle_layer"][one]["topic"], SENSOR_DATA, stored)

    def is_answered(self, stamp: int) -> bool:
        return all(stamp in found for found in (*self.inputs.values(), *self.clouds_of_groups.values()))

    def _store(self, kind: type, topic: str, qos: QoSProfile, found: dict[int, Any]) -> None:
        def keep(message: Any) -> None:
            found[nanoseconds(message.header.stamp)] = message

        self.create_subscription(kind, topic, keep, qos)


def test_the_nodes_publish_what_the_layers_of_the_example_read(ros: None, costmap: dict[str, Any]) -> None:
    truth = TrueLabels()
    truth.show(LABELS, ["wall-other-merged", "person"])
    groups = str(CONFIG / "navigation_groups.yaml")
    client = Layer(costmap)
    client.advertise(("/image", Image), ("/camera_info", CameraInfo))
    client.advertise(("/depth/image", Image), ("/depth/camera_info", CameraInfo))
    with (
        node_in_this_process(truth.load, semantic__encoding="mono8", expected_sizes=["64x48"]),
        panoptic_3d_in_this_process(depth="/depth/image", points__organised=True, groups=groups),
    ):
        client.wait_for_subscribers()
        depth = depth_at(2)
        depth[5, 6] = 0
        info = camera_info(START, FRAME, CAMERA)
        messages = [
            ("/camera_info", START, info),
            ("/depth/camera_info", START, info),
            ("/depth/image", START, image(START, FRAME, depth, "16UC1")),
            ("/image", START, image(START, FRAME, np.zeros((HEIGHT, WIDTH, 3), np.uint8), "bgr8")),
        ]
        client.publish_until_answered(messages, START)
        mask, confidence, cloud = (client.inputs[name][START] for name in KINDS)
        for one in (mask, confidence):
            assert one.encoding == "mono8"
            assert len(one.data) == one.width * one.height == cloud.width * cloud.height
        fields = {field.name: field.datatype for field in cloud.fields}
        assert [fields[axis] for axis in "xyz"] == [7, 7, 7], "they are floats"
        points = read_cloud(cloud)
        np.testing.assert_array_equal(np.isfinite(points["z"]).reshape(HEIGHT, WIDTH), depth > 0)
        # Point and pixel of the same number are the same place.
        pixels = np.frombuffer(mask.data, np.uint8).reshape(HEIGHT, WIDTH)
        categories = points["category_id"].reshape(HEIGHT, WIDTH)
        np.testing.assert_array_equal(categories, pixels)
        assert {one.header.frame_id for one in (mask, confidence, cloud)} == {FRAME}
        found = {name: clouds[START].width for name, clouds in client.clouds_of_groups.items()}
        things = int((LABELS == 2).sum())
        assert found == {
            "obstacle": HEIGHT * WIDTH - things - 1 + (LABELS[5, 6] == 2),
            "dynamic": things,
            "traversable": 0,
        }
        if LabelInfo is not None:
            client.wait(lambda: client.names)
            (message,) = client.names.values()
            names = {entry.class_id: entry.class_name for entry in message.class_map}
            assert {names[number] for number in np.unique(pixels)} == {"wall-other-merged", "person"}
    client.destroy_node()


def test_each_category_of_the_shipped_model_has_a_type_in_the_example(costmap: dict[str, Any]) -> None:
    source = costmap["semantic_layer"]["camera"]
    classes = [name for kind in source["class_types"] for name in source[kind]["classes"]]
    own = CategoryMap.load(CONFIG / "label_maps" / "scenes.yaml").categories
    assert sorted(classes) == sorted(one.name for one in own.categories)
    assert max(own.by_id) <= 255
    for kind in source["class_types"]:
        assert 0 <= source[kind]["base_cost"] <= source[kind]["max_cost"] <= 254


def test_the_obstacle_layer_has_the_groups_of_the_file(costmap: dict[str, Any]) -> None:
    layer = costmap["obstacle_layer"]
    groups = yaml.safe_load((CONFIG / "navigation_groups.yaml").read_text())["groups"]
    assert sorted(layer["observation_sources"].split()) == sorted(groups)
    for name in groups:
        assert layer[name]["topic"] == f"/panoptic_3d/points/{name}"
        assert layer[name]["marking"] == (name != "traversable")
