# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Which depth belongs to which labels: stamps, and transforms at the time of the image."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage

from ciae_ros.spatial.rigid_transform import RigidTransform
from tests.node.panoptic_3d.harness import SceneClient, panoptic_3d_in_this_process, read_cloud
from tests.node.panoptic_3d.small_scene import (
    FRAME,
    MS,
    SECOND,
    START,
    connect,
    depth_messages,
    label_messages,
    send,
)
from tests.rendering.messages import header, transforms


def distance(client: SceneClient, stamp: int) -> float:
    """Return the z coordinate of the points of a frame."""
    client.wait(lambda: client.is_answered(stamp))
    (z,) = set(np.round(read_cloud(client.clouds[stamp])["z"].ravel(), 3).tolist())
    return round(float(z), 3)


def send_depth(client: SceneClient, **metres: float) -> None:
    """Send depth images by their time in milliseconds after the start, as t100=2.0."""
    for name, value in metres.items():
        send(client, depth_messages(START + int(name.removeprefix("t")) * MS, value))


def test_equal_stamps_are_matched_whichever_arrives_first(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image"):
        connect(client)
        send_depth(client, t0=2.0, t100=3.0, t200=4.0)
        send(client, label_messages(START + 100 * MS))
        assert distance(client, START + 100 * MS) == 3.0
        send(client, label_messages(START + 300 * MS))
        send_depth(client, t300=5.0)
        assert distance(client, START + 300 * MS) == 5.0


def test_unequal_stamps_are_matched_with_the_nearest_within_half_a_frame(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image"):
        connect(client)
        send_depth(client, t0=1.0, t100=2.0, t200=3.0, t300=4.0)
        send(client, label_messages(START + 140 * MS))
        assert distance(client, START + 140 * MS) == 2.0
        send(client, label_messages(START + 160 * MS))
        assert distance(client, START + 160 * MS) == 3.0


def test_labels_wait_for_a_nearer_depth_image(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image", sync__timeout=30.0):
        connect(client)
        send_depth(client, t0=1.0, t100=2.0)
        send(client, label_messages(START + 145 * MS))
        with pytest.raises(TimeoutError):
            client.wait(lambda: client.clouds, timeout=0.5)
        send_depth(client, t180=3.0)
        assert distance(client, START + 145 * MS) == 3.0


def test_without_depth_near_enough_a_frame_is_dropped_and_counted(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image", sync__timeout=0.2):
        connect(client)
        send_depth(client, t0=1.0, t100=2.0, t200=3.0)
        send(client, label_messages(START + 280 * MS))
        client.wait(lambda: client.dropped("no depth") == 1)
        send(client, label_messages(START + 200 * MS))
        assert distance(client, START + 200 * MS) == 3.0
        assert START + 280 * MS not in client.clouds


@pytest.mark.parametrize(("bound", "is_matched"), [(0.0, False), (0.02, False), (0.05, True)])
def test_the_bound_is_a_parameter(client: SceneClient, bound: float, is_matched: bool) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image", sync__max_difference=bound, sync__timeout=0.2):
        connect(client)
        send_depth(client, t0=1.0, t100=2.0, t200=3.0)
        send(client, label_messages(START + 140 * MS))
        if is_matched:
            assert distance(client, START + 140 * MS) == 2.0
        else:
            client.wait(lambda: client.dropped("no depth") == 1)


def test_labels_without_segments_are_counted(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image"):
        connect(client)
        for number in range(11):
            send(client, [message for message in label_messages(START + number * MS) if "labels" in message[0]])
        client.wait(lambda: client.dropped("no segments") == 1)


def test_without_a_transform_nothing_is_published(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image", output_frame="map", sync__timeout=0.2):
        client.advertise(("/tf", TFMessage))
        connect_without_answer(client)
        for number in range(5):
            stamp = START + number * 100 * MS
            send(client, [*depth_messages(stamp), *label_messages(stamp)])
        client.wait(lambda: client.dropped("no transform") >= 5)
        assert not client.clouds
        assert not client.markers


def test_the_transform_is_that_of_the_time_of_the_image_and_never_the_latest(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image", output_frame="map", sync__timeout=20.0):
        client.advertise(("/tf", TFMessage))
        connect_without_answer(client)
        for number in range(3):
            moment = START + number * SECOND
            send(client, [("/tf", moment, transforms(moment, ("map", FRAME, along_z(10.0 * number))))])
        stamp = START + 3 * SECOND // 2
        send(client, [*depth_messages(stamp), *label_messages(stamp)])
        # In the middle between the second and the third, although the latest one is at 20 m.
        assert distance(client, stamp) == 15.0 + 2.0
        late = START + 5 * SECOND // 2
        send(client, [*depth_messages(late), *label_messages(late)])
        with pytest.raises(TimeoutError):
            client.wait(lambda: late in client.clouds, timeout=0.5)
        moment = START + 3 * SECOND
        send(client, [("/tf", moment, transforms(moment, ("map", FRAME, along_z(40.0))))])
        assert distance(client, late) == 30.0 + 2.0


def test_depth_of_another_camera_is_registered_through_tf(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image", sync__timeout=20.0):
        client.advertise(("/tf_static", TFMessage))
        connect_without_answer(client)
        # The depth camera is 0.5 m behind the camera and 0.2 m to its left.
        transform = RigidTransform(translation=np.array([-0.2, 0.0, -0.5]))
        send(client, [("/tf_static", START, transforms(START, (FRAME, "depth_camera", transform)))])
        send(client, [*depth_messages(START, 2.0, "depth_camera"), *label_messages(START)])
        assert distance(client, START) == 1.5
        points = read_cloud(client.clouds[START])[0]
        # Its left edge is 2 m * 31.5 / 60 to the left of its axis, beyond the camera's image of 1.5 m * 31.5 / 60.
        np.testing.assert_allclose(
            [points["x"].min(), points["x"].max()], [-1.5 * 31.5 / 60, 1.5 * 31.5 / 60], atol=0.03
        )


def test_depth_of_another_time_is_moved_through_the_fixed_frame(client: SceneClient) -> None:
    options = {"depth": "/depth/image", "fixed_frame": "odom", "sync__timeout": 20.0, "sync__max_difference": 0.06}
    with panoptic_3d_in_this_process(**options):
        client.advertise(("/tf", TFMessage))
        connect_without_answer(client)
        for number in range(3):
            moment = START + number * 100 * MS
            # 1 m/s towards the wall.
            send(client, [("/tf", moment, transforms(moment, ("odom", FRAME, along_z(0.1 * number))))])
        send(client, [*depth_messages(START + 100 * MS), *label_messages(START + 150 * MS)])
        send(client, depth_messages(START + 300 * MS))
        assert distance(client, START + 150 * MS) == 1.95


def test_what_was_received_before_a_bag_restarts_is_forgotten(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image", use_sim_time=True, sync__timeout=30.0):
        clock = client.create_publisher(Clock, "/clock", 10)
        connect(client)
        client.wait(clock.get_subscription_count)
        clock.publish(Clock(clock=header(START + SECOND, "").stamp))
        send_depth(client, t0=1.0)
        # These wait for depth of their time, which does not come.
        send(client, label_messages(START + SECOND))
        client.wait(lambda: client.counts.get("unfinished") == "1")
        clock.publish(Clock(clock=header(START, "").stamp))
        client.wait(lambda: client.dropped("clock jumped back") == 1)
        send(client, label_messages(START))
        with pytest.raises(TimeoutError):
            client.wait(lambda: START in client.clouds, timeout=0.5)
        send_depth(client, t0=3.0)
        assert distance(client, START) == 3.0


def along_z(metres: float) -> RigidTransform:
    return RigidTransform(translation=np.array([0.0, 0.0, metres]))


def connect_without_answer(client: SceneClient) -> None:
    """Connect all topics although nothing can be answered yet: messages before are lost or dropped."""
    connect(client, wait_for_answer=False)
