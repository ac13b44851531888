# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Formats of the inputs, contents of the outputs, and inputs that cannot be used."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from ciae_ros.camera.depth_image import HEADER
from ciae_ros.core.processes import stop
from ciae_ros.spatial.rigid_transform import RigidTransform
from tests.node.panoptic_3d.harness import (
    SceneClient,
    panoptic_3d_in_this_process,
    read_cloud,
    start_panoptic_3d,
)
from tests.node.panoptic_3d.small_scene import (
    CAMERA,
    FRAME,
    HEIGHT,
    LABELS,
    SEGMENTS,
    START,
    TOPICS,
    WIDTH,
    connect,
    depth_at,
    depth_messages,
    label_messages,
    send,
)
from tests.rendering.messages import camera_info, cloud, header, image, segments, transforms


def points_of(client: SceneClient, stamp: int) -> np.ndarray:
    """Wait for the result of a frame; returns its points."""
    client.wait(lambda: client.is_answered(stamp))
    return read_cloud(client.clouds[stamp])


def compressed(values: np.ndarray, kind: str, scale: float = 0, offset: float = 0) -> CompressedImage:
    """A message of compressed_depth_image_transport."""
    data = HEADER.pack(0, scale, offset) + cv2.imencode(".png", values)[1].tobytes()
    return CompressedImage(header=header(START, FRAME), format=f"{kind}; compressedDepth png", data=array("B", data))


def depth_of(kind: str) -> Image | CompressedImage:
    """A depth image of a wall at 2 m in some format."""
    if kind == "16UC1":
        return image(START, FRAME, depth_at(2), kind)
    if kind == "32FC1":
        return image(START, FRAME, np.full((HEIGHT, WIDTH), 2, np.float32), kind)
    if kind == "compressed 16UC1":
        return compressed(depth_at(2), "16UC1")
    # Inverse depth: 1000 / (600 - 100) = 2.
    return compressed(np.full((HEIGHT, WIDTH), 600, np.uint16), "32FC1", 1000, 100)


@pytest.mark.parametrize("kind", ["16UC1", "32FC1", "compressed 16UC1", "compressed 32FC1"])
def test_every_format_of_depth_gives_the_same_points_and_boxes(client: SceneClient, kind: str) -> None:
    message = depth_of(kind)
    topic = "/depth/image/compressedDepth" if isinstance(message, CompressedImage) else "/depth/image"
    with panoptic_3d_in_this_process(depth=topic):
        client.advertise((topic, type(message)), *(entry for entry in TOPICS if entry[0] != "/depth/image"))
        client.wait_for_subscribers()
        depth_info = ("/depth/camera_info", START, camera_info(START, FRAME, CAMERA))
        client.publish_until_answered([depth_info, (topic, START, message), *label_messages(START)], START)
        points = points_of(client, START)[0]
        assert len(points) == HEIGHT * WIDTH
        np.testing.assert_allclose(points["z"], 2, rtol=1e-5)
        rows, columns = np.indices((HEIGHT, WIDTH)).reshape(2, -1)
        np.testing.assert_allclose(points["x"], 2 * (columns - 31.5) / 60, atol=1e-5)
        np.testing.assert_allclose(points["y"], 2 * (rows - 23.5) / 60, atol=1e-5)
        np.testing.assert_array_equal(points["segment_id"], LABELS.ravel())
        np.testing.assert_array_equal(points["category_id"], np.where(LABELS.ravel() == 2, 9, 7))
        (box,) = client.objects(START)
        assert box.name == "box 0.80"
        # Columns 5 to 29 and rows 10 to 39.
        np.testing.assert_allclose(box.center, [2 * (17 - 31.5) / 60, 2 * (24.5 - 23.5) / 60, 2], atol=0.02)
        np.testing.assert_allclose(box.size, [2 * 24 / 60, 2 * 29 / 60, 0.001], atol=0.04)
        np.testing.assert_allclose(box.position, box.center, atol=0.04)


def test_organised_points_have_the_form_of_the_image(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image", points__organised=True, points__packed_label=True) as node:
        connect(client)
        holes = depth_at(2)
        holes[3, 4] = 0
        send(client, [("/depth/image", START, image(START, FRAME, holes, "16UC1")), *label_messages(START)])
        points = points_of(client, START)
        assert points.shape == (HEIGHT, WIDTH)
        assert np.argwhere(np.isnan(points["x"])).tolist() == [[3, 4]]
        np.testing.assert_array_equal(points["label"], np.where(LABELS == 2, 9 << 16 | 2, 7 << 16))
        node.set_parameters([Parameter("points.stride", value=4), Parameter("points.unlabelled", value=False)])
        stamp = START + 1
        send(client, [*depth_messages(stamp), *label_messages(stamp)])
        assert points_of(client, stamp).shape == (HEIGHT // 4, WIDTH // 4)


def test_points_have_the_colours_of_the_image(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image", image="/camera/image_raw"):
        client.advertise(("/camera/image_raw", Image))
        connect(client, wait_for_answer=False)
        colors = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        frame = [*depth_messages(START), ("/camera/image_raw", START, image(START, FRAME, colors, "rgb8"))]
        client.publish_until_answered([*frame, *label_messages(START)], START)
        red, green, blue = colors.reshape(-1, 3).T.astype(np.uint32)
        found = points_of(client, START)[0]["rgb"].view(np.uint32)
        np.testing.assert_array_equal(found, red << 16 | green << 8 | blue)


def test_without_a_subscriber_of_the_points_the_image_is_not_needed(ros: None) -> None:
    client = SceneClient(with_points=False)
    with panoptic_3d_in_this_process(depth="/depth/image", image="/camera/image_raw"):
        connect(client)
        send(client, [*depth_messages(START), *label_messages(START)])
        client.wait(lambda: client.is_answered(START))
    client.destroy_node()


def test_lidar_points_get_the_labels_of_the_camera(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(points="/lidar/points", boxes__min_points=5):
        client.advertise(("/tf_static", TFMessage), ("/lidar/points", PointCloud2))
        client.advertise(*((topic, type(message)) for topic, _, message in label_messages(START)))
        client.wait_for_subscribers()
        client.wait_quietly(1.0)
        # x forwards, y left, z up, in the place of the camera.
        camera_from_lidar = RigidTransform(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.zeros(3))
        send(client, [("/tf_static", START, transforms(START, (FRAME, "lidar", camera_from_lidar)))])
        y, z = np.meshgrid(np.linspace(-1.5, 1.5, 61), np.linspace(-0.6, 0.6, 25))
        wall = np.stack([np.full(y.size, 2.0), y.ravel(), z.ravel()], axis=1)
        # Behind the labelled thing, and behind the lidar.
        hidden, behind = [[4.0, 1.0, 0.0]], [[-2.0, 1.0, 0.0]]
        points = np.concatenate([wall, hidden, behind])
        send(client, [("/lidar/points", START, cloud(START, "lidar", points)), *label_messages(START)])
        found = points_of(client, START)[0]
        assert client.clouds[START].header.frame_id == "lidar"
        columns, rows = np.rint(31.5 - 30 * wall[:, 1]), np.rint(23.5 - 30 * wall[:, 2])
        inside = (columns >= 0) & (columns < WIDTH) & (rows >= 0) & (rows < HEIGHT)
        assert len(found) == inside.sum() + 1
        expected = LABELS[rows[inside].astype(int), columns[inside].astype(int)]
        np.testing.assert_array_equal(found["segment_id"][:-1], expected)
        np.testing.assert_allclose(found["y"][:-1], wall[inside, 1], atol=1e-6)
        assert found["segment_id"][-1] == 0
        (box,) = client.objects(START)
        np.testing.assert_allclose(box.position, [2, (31.5 - 17) / 30, -(24.5 - 23.5) / 30], atol=0.06)


def without_calibration() -> list[Any]:
    empty = camera_info(START, FRAME, CAMERA)
    empty.k = [0.0] * 9
    return [("/panoptic_node/camera_info", START, empty), *depth_messages(START), *label_messages(START)[1:]]


def with_labels(labels: np.ndarray, found: list[Any] | None = None, encoding: str = "16UC1") -> list[Any]:
    messages = label_messages(START)[:1]
    messages.append(("/panoptic_node/segments", START, segments(START, FRAME, labels, found or SEGMENTS)))
    messages.append(("/panoptic_node/labels", START, image(START, FRAME, labels, encoding)))
    return [*depth_messages(START), *messages]


def with_depth(message: Image) -> list[Any]:
    return [("/depth/image", START, message), *label_messages(START)]


def short_depth() -> Image:
    message = image(START, FRAME, depth_at(2), "16UC1")
    message.data = message.data[:-2]
    return message


BAD = {
    "unusable calibration": without_calibration(),
    "inconsistent labels": with_labels(LABELS + 5),
    "inconsistent labels, box": with_labels(LABELS, [SEGMENTS[0], replace(SEGMENTS[1], box=(60, 0, 25, 30))]),
    "inconsistent labels, ids": with_labels(LABELS, [SEGMENTS[1]]),
    "unknown encoding": with_labels(LABELS.astype(np.uint8), encoding="mono8"),
    "unknown encoding, depth": with_depth(image(START, FRAME, depth_at(2), "8UC2")),
    "wrong length": with_depth(short_depth()),
    "unusable calibration, size": with_depth(image(START, FRAME, depth_at(2, 48, 20), "16UC1")),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_frame_is_dropped_and_counted_and_the_node_lives(client: SceneClient, name: str) -> None:
    reason, _, _ = name.partition(",")
    with panoptic_3d_in_this_process(depth="/depth/image"):
        connect(client)
        send(client, BAD[name])
        client.wait(lambda: client.dropped(reason) == 1)
        stamp = START + 1
        send(client, [*depth_messages(stamp), *label_messages(stamp)])
        client.wait(lambda: client.is_answered(stamp))
        assert START not in client.clouds


def test_it_can_be_deactivated_and_activated_again(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image") as node:
        connect(client)
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        connect(client)


def test_fixed_parameters_cannot_change_while_it_is_configured(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image") as node:
        (result,) = node.set_parameters([Parameter("depth", value="/other")])
        assert "can be set only while the node is unconfigured" in result.reason
        (result,) = node.set_parameters([Parameter("depth.nearest", value=100.0)])
        assert "must be less than depth.farthest" in result.reason


def test_statistics_are_reset_by_a_service(client: SceneClient) -> None:
    with panoptic_3d_in_this_process(depth="/depth/image"):
        connect(client)
        reset = client.create_client(Trigger, "/panoptic_3d/reset_statistics")
        client.wait(lambda: client.counts.get("published") == "1")
        client.wait(reset.service_is_ready)
        answer = reset.call_async(Trigger.Request())
        client.wait(answer.done)
        client.wait(lambda: client.counts.get("published") == "0")


def test_the_process_tells_why_nothing_arrives_and_ends_with_code_0(client: SceneClient) -> None:
    process = start_panoptic_3d(outputs="/nowhere", diagnostics__stale_after="0.5")
    reason = "/nowhere/labels has no publisher: start panoptic_node, or set outputs"
    client.wait(lambda: any(reason in status.message for status in client.statuses.values()))
    assert stop(process) == 0


def test_detections_have_the_boxes_of_the_markers(client: SceneClient) -> None:
    pytest.importorskip("vision_msgs.msg", reason="needs vision_msgs, which a ROS distribution has")
    with panoptic_3d_in_this_process(depth="/depth/image"):
        connect(client)
        send(client, [*depth_messages(START), *label_messages(START)])
        client.wait(lambda: client.is_answered(START) and START in client.detections)
        (marked,) = client.objects(START)
        (detection,) = client.detections[START].detections
        assert detection.results[0].hypothesis.class_id == "9"
        assert detection.results[0].hypothesis.score == pytest.approx(0.8)
        center, position = detection.bbox.center.position, detection.results[0].pose.pose.position
        np.testing.assert_allclose([center.x, center.y, center.z], marked.center)
        np.testing.assert_allclose([position.x, position.y, position.z], marked.position)
        size = detection.bbox.size
        np.testing.assert_allclose([size.x, size.y, max(size.z, 1e-3)], marked.size)
        assert detection.header.frame_id == FRAME
