# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Clouds of groups of categories, and the tracks of segments in clouds and names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import PointCloud2

from ciae_ros.node.panoptic_3d.definitions import Panoptic3dParameters
from ciae_ros.node.parameters.errors import ParameterError
from ciae_ros.node.stamps import nanoseconds
from tests.node.panoptic_3d.harness import SceneClient, panoptic_3d_in_this_process, read_cloud
from tests.node.panoptic_3d.small_scene import (
    FRAME,
    HEIGHT,
    LABELS,
    SEGMENTS,
    START,
    WIDTH,
    connect,
    depth_at,
    depth_messages,
    label_messages,
    send,
)
from tests.rendering.messages import image, segments

GROUPS = "groups: {obstacle: [wall], dynamic: [box], traversable: [floor]}"


class GroupClient(SceneClient):
    """Stores the clouds of the groups, with the QoS of Nav2's obstacle layer."""

    def __init__(self) -> None:
        super().__init__(with_points=False)
        self.of_group: dict[str, dict[int, PointCloud2]] = {"obstacle": {}, "dynamic": {}, "traversable": {}}
        for name, clouds in self.of_group.items():

            def keep(message: PointCloud2, clouds: dict[int, PointCloud2] = clouds) -> None:
                clouds[nanoseconds(message.header.stamp)] = message

            self.create_subscription(PointCloud2, f"/panoptic_3d/points/{name}", keep, qos_profile_sensor_data)

    def is_answered(self, stamp: int) -> bool:
        return super().is_answered(stamp) and all(stamp in clouds for clouds in self.of_group.values())


@pytest.fixture
def groups(ros: None) -> Iterator[GroupClient]:
    client = GroupClient()
    yield client
    client.destroy_node()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "groups.yaml"
    path.write_text(GROUPS)
    return path


@pytest.mark.parametrize("organised", [False, True])
def test_each_group_has_the_measured_points_of_its_categories(groups: GroupClient, path: Path, organised: bool) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image", groups=str(path), points__organised=organised):
        connect(groups)
        depth = depth_at(2)
        depth[12, 7] = depth[0, 0] = 0
        send(groups, [("/depth/image", START, image(START, FRAME, depth, "16UC1")), *label_messages(START)])
        groups.wait(lambda: groups.is_answered(START))
        clouds = {name: clouds[START] for name, clouds in groups.of_group.items()}
        counts = {name: cloud.width for name, cloud in clouds.items()}
        things = int((LABELS == 2).sum())
        assert counts == {"obstacle": HEIGHT * WIDTH - things - 1, "dynamic": things - 1, "traversable": 0}
        for cloud in clouds.values():
            assert [field.name for field in cloud.fields] == ["x", "y", "z"]
            assert (cloud.height, cloud.point_step, cloud.is_dense) == (1, 12, True)
            assert cloud.header.frame_id == FRAME
        points = read_cloud(clouds["dynamic"])[0]
        rows, columns = np.nonzero((LABELS == 2) & (depth > 0))
        np.testing.assert_allclose(points["x"], 2 * (columns - 31.5) / 60, atol=1e-5)
        np.testing.assert_allclose(points["y"], 2 * (rows - 23.5) / 60, atol=1e-5)


def test_points_and_names_have_the_track(ros: None) -> None:
    client = SceneClient()
    with panoptic_3d_in_this_process(depth="/depth/image"):
        connect(client)
        tracked = [SEGMENTS[0], replace(SEGMENTS[1], track_id=70_001)]
        messages = [one for one in label_messages(START) if not one[0].endswith("/segments")]
        messages.insert(0, ("/panoptic_node/segments", START, segments(START, FRAME, LABELS, tracked)))
        send(client, [*depth_messages(START), *messages])
        client.wait(lambda: client.is_answered(START))
        (box,) = client.objects(START)
        assert box.name == "box #70001 0.80"
        points = read_cloud(client.clouds[START])[0]
        np.testing.assert_array_equal(points["track_id"], np.where(LABELS.ravel() == 2, 70_001, 0))
    client.destroy_node()


def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"parameter groups: .*none.yaml cannot be read"):
        Panoptic3dParameters(depth="/depth", groups=str(tmp_path / "none.yaml")).check()
