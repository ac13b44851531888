# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Scenes of depth images and clouds: what they contain, and in which form."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.spatial.boxes import BoxSettings
from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.depth_cleaning import DepthLimits
from ciae_ros.spatial.objects import ObjectSettings
from ciae_ros.spatial.point_layout import LabelledSegment
from ciae_ros.spatial.rigid_transform import RigidTransform
from ciae_ros.spatial.scene import DepthView, LabelledImage, LidarView, SceneBuilder, SceneSettings

CAMERA = CameraModel(40, 60, np.array([[50.0, 0, 29.5], [0, 50, 19.5], [0, 0, 1]]), np.zeros(0))
LABELS = np.zeros((40, 60), np.uint16)
LABELS[10:30, 20:40] = 1
IMAGE = LabelledImage(LABELS, [LabelledSegment(1, 5, "box", True, 0.9, (20, 10, 20, 20), (1, 2, 3))], CAMERA)
KNOWN = RigidTransform()
UPWARDS = RigidTransform(translation=np.array([0.0, 0.0, 7.0]))
FEW = ObjectSettings(BoxSettings(min_points=5))


def settings(**changes: object) -> SceneSettings:
    values: dict[str, object] = {"limits": DepthLimits(), "objects": FEW}
    return SceneSettings(**values | changes)  # type: ignore[arg-type]


def depth_view(metres: float = 2.0) -> DepthView:
    return DepthView(np.full((40, 60), metres, np.float32), 1.0, CAMERA, KNOWN)


def lidar_view() -> LidarView:
    """A grid of 8 x 12 points 2 m ahead, one of which is missing, and a row of points behind the camera."""
    columns, rows = np.meshgrid(np.arange(2, 60, 5), np.arange(2, 40, 5))
    rays = CAMERA.rays[rows, columns]
    points = np.concatenate([rays * 2, np.full((*rays.shape[:2], 1), 2, np.float32)], axis=2)
    points[0, 0] = np.nan
    behind = points[:1] * -1
    return LidarView(np.concatenate([points, behind]).reshape(-1, 3), (9, 12), KNOWN)


def ids(scene_points: np.ndarray) -> np.ndarray:
    return scene_points.view(np.uint32)[:, 4] & 0xFFFF


def test_a_depth_image_becomes_points_and_objects_in_the_frame_of_the_result() -> None:
    scene = SceneBuilder().build(IMAGE, depth_view(), UPWARDS, None, settings())
    assert scene.points is not None
    assert scene.shape == (1, 2400)
    assert set(scene.points[:, 2]) == {9}
    assert np.count_nonzero(ids(scene.points)) == 400
    (box,) = scene.objects
    np.testing.assert_allclose(box.box.position, [0, 0, 9], atol=0.05)
    assert bytes(scene.data) == scene.points.tobytes()


def test_without_points_there_are_objects_only() -> None:
    scene = SceneBuilder().build(IMAGE, depth_view(), KNOWN, None, settings(), with_points=False)
    assert scene.points is None
    assert len(scene.objects) == 1


def test_only_labelled_points_if_wished() -> None:
    scene = SceneBuilder().build(IMAGE, depth_view(), KNOWN, None, settings(unlabelled=False))
    assert scene.shape == (1, 400)


def test_organised_points_of_a_thinned_depth_image() -> None:
    scene = SceneBuilder().build(IMAGE, depth_view(), KNOWN, None, settings(organised=True, stride=7))
    assert scene.points is not None
    assert scene.shape == (6, 9)
    assert len(scene.points) == 54


def test_a_lidar_gives_the_points_that_the_camera_sees() -> None:
    scene = SceneBuilder().build(IMAGE, lidar_view(), UPWARDS, None, settings())
    assert scene.points is not None
    assert scene.shape == (1, 95)
    # Rows 12, 17, 22 and 27, and columns 22, 27, 32 and 37.
    assert np.count_nonzero(ids(scene.points)) == 16
    assert set(scene.points[:, 2]) == {9}
    (box,) = scene.objects
    np.testing.assert_allclose(box.box.size, [2 * 15 / 50, 2 * 15 / 50, 0], atol=1e-5)
    only = SceneBuilder().build(IMAGE, lidar_view(), UPWARDS, None, settings(unlabelled=False))
    assert only.shape == (1, 16)


def test_an_organised_cloud_keeps_its_form_and_all_its_points() -> None:
    scene = SceneBuilder().build(IMAGE, lidar_view(), KNOWN, None, settings(organised=True))
    assert scene.points is not None
    assert scene.shape == (9, 12)
    points = scene.points.reshape(9, 12, 6)
    assert np.isnan(points[0, 0, :3]).all()
    assert (points[8, 1:, 2] == -2).all()
    assert not ids(scene.points).reshape(9, 12)[8].any()
    assert np.count_nonzero(ids(scene.points)) == 16


def test_points_have_the_colours_of_an_image_of_another_size() -> None:
    image = LabelledImage(LABELS, IMAGE.segments, CAMERA, np.full((80, 120, 3), (10, 20, 30), np.uint8))
    scene = SceneBuilder().build(image, depth_view(), KNOWN, None, settings())
    assert scene.points is not None
    assert set(scene.points.view(np.uint32)[:, 3]) == {30 << 16 | 20 << 8 | 10}


def test_boxes_cannot_be_aligned_with_unknown_gravity() -> None:
    with pytest.raises(ValueError, match="need the direction of gravity"):
        SceneBuilder().build(IMAGE, depth_view(), KNOWN, None, settings(alignment="gravity"))


def test_warming_up_builds_scenes() -> None:
    SceneBuilder().warm_up(settings(packed_label=True))
