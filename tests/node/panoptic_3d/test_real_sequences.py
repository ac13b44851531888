# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Real sequences through the real nodes, with the shipped model: KITTI's lidar, and a kitchen with its poses as tf."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from tf2_msgs.msg import TFMessage

from tests.node.panoptic_3d.harness import bag_messages, both_nodes, read_cloud
from tests.rendering.drive_bag import TimedMessage, write_bag
from tests.rendering.messages import camera_info, cloud, header, image, transforms
from tests.spatial.kitchen import KitchenFrame, read_kitchen
from tests.spatial.kitti import KittiBox, read_kitti

SECOND = 1_000_000_000
CAR = 16
"""Id of the category in the shipped model."""
VOXEL = 0.05
"""In metres."""


def test_lidar_points_of_kitti_get_the_labels_of_the_cars_that_they_are_on(ros: None, data: Path) -> None:
    folder = data / "sequences" / "kitti_tracking"
    with both_nodes("/image", "1242x375", points="/velodyne/points", sync__timeout="20.0") as client:
        client.advertise(
            ("/tf_static", TFMessage),
            ("/velodyne/points", PointCloud2),
            ("/camera_info", CameraInfo),
            ("/image", Image),
        )
        client.wait_for_subscribers()
        for number, share_on_cars in ((0, 0.65), (1, 0.95)):
            frame, stamp = read_kitti(folder, number), (number + 1) * SECOND
            messages = [
                ("/tf_static", stamp, transforms(stamp, ("camera", "velodyne", frame.camera_from_lidar))),
                ("/velodyne/points", stamp, cloud(stamp, "velodyne", frame.points)),
                ("/camera_info", stamp, camera_info(stamp, "camera", frame.camera)),
                ("/image", stamp, image(stamp, "camera", frame.image, "bgr8")),
            ]
            client.publish_until_answered(messages, stamp)
            points = read_cloud(client.clouds[stamp])[0]
            in_lidar = np.stack([points["x"], points["y"], points["z"]], axis=1).astype(np.float64)
            in_camera = frame.camera_from_lidar.apply(in_lidar)
            cars = [box for box in frame.boxes if box.kind in ("Car", "Van", "Truck")]
            is_car = points["category_id"] == CAR
            assert is_car.sum() > 1000
            on_cars = np.any([box.contains(in_camera[is_car], margin=0.25) for box in cars], axis=0)
            assert on_cars.mean() > share_on_cars
            found = [one for one in client.objects(stamp) if one.name.startswith("car")]
            assert len(found) >= 3
            assert max(_distance(frame.camera_from_lidar.apply(one.position), cars) for one in found) < 2.5


def _distance(position: np.ndarray, cars: list[KittiBox]) -> float:
    """Return the horizontal distance to the centre of the nearest car."""
    return min(float(np.linalg.norm((position - car.center)[[0, 2]])) for car in cars)


def _kitchen_messages(frames: list[KitchenFrame]) -> Iterator[TimedMessage]:
    """Yield the messages of frames at 30 Hz, as a driver and a localisation publish them."""
    for frame in frames:
        stamp = SECOND + frame.number * SECOND // 30
        photo = CompressedImage(header=header(stamp, "camera"), format="jpeg", data=array("B", frame.jpeg))
        yield "/tf", stamp, transforms(stamp, ("world", "camera", frame.world_from_camera))
        yield "/camera/camera_info", stamp, camera_info(stamp, "camera", frame.camera)
        yield "/depth/camera_info", stamp, camera_info(stamp, "camera", frame.camera)
        yield "/depth/image_raw", stamp, image(stamp, "camera", frame.depth, "16UC1")
        yield "/camera/image_raw/compressed", stamp, photo


def test_labelled_clouds_of_a_kitchen_agree_in_the_fixed_frame(ros: None, data: Path, tmp_path: Path) -> None:
    frames = read_kitchen(data / "sequences" / "rgbd_kitchen")[:10]
    bag = tmp_path / "kitchen"
    write_bag(bag, _kitchen_messages(frames))
    parameters = {"depth": "/depth/image_raw", "output_frame": "world", "points__stride": "2", "sync__timeout": "20.0"}
    with both_nodes("/camera/image_raw/compressed", "640x480", **parameters) as client:
        by_frame: dict[int, list[tuple[str, int, bytes]]] = {}
        for topic, kind, stamp, data_of_message in bag_messages(bag):
            client.advertise((topic, kind))
            by_frame.setdefault(stamp, []).append((topic, stamp, data_of_message))
        client.wait_for_subscribers()
        for stamp, messages in by_frame.items():
            client.publish_until_answered(messages, stamp)
        clouds = [read_cloud(client.clouds[stamp])[0] for stamp in by_frame]
    assert len(clouds) == 10
    labels_of_voxel: dict[tuple[int, int, int], set[int]] = {}
    shares, agreements = [], []
    for points in clouds:
        in_world = np.stack([points["x"], points["y"], points["z"]], axis=1)
        voxels = [tuple(voxel) for voxel in np.floor(in_world / VOXEL).astype(int).tolist()]
        categories = points["category_id"].tolist()
        if labels_of_voxel:
            known = [pair for pair in zip(voxels, categories, strict=True) if pair[0] in labels_of_voxel]
            shares.append(len(known) / len(voxels))
            agreements.append(np.mean([category in labels_of_voxel[voxel] for voxel, category in known]))
        for voxel, category in zip(voxels, categories, strict=True):
            labels_of_voxel.setdefault(voxel, set()).add(category)
    # Each cloud is where the previous ones are, and mostly labelled like them.
    assert np.median(shares) > 0.9
    assert np.median(agreements) > 0.9
