# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Labels of lidar points in a rendered drive, where the object of each point is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.lidar_labels import label_lidar_points, write_lidar_points
from ciae_ros.spatial.object_range import DepthGap
from ciae_ros.spatial.objects import ObjectSettings, box_axes, measure_in_cloud
from ciae_ros.spatial.point_layout import segment_words
from ciae_ros.spatial.point_memory import PointMemory
from ciae_ros.spatial.rigid_transform import RigidTransform

pytest.importorskip("tests.rendering.drive", reason="needs MuJoCo, of requirements-dev.txt")
from tests.rendering.accuracy import CAMERA_FROM_LIDAR, lidar_directions, lidar_quality
from tests.rendering.truth import labelled_frame, true_objects

if TYPE_CHECKING:
    from tests.rendering.drive import Drive


@pytest.mark.parametrize(("too_large", "precision"), [(0, 0.995), (3, 0.94)])
def test_points_behind_an_object_do_not_get_its_label(drive: Drive, too_large: int, precision: float) -> None:
    frames = list(drive.frames((0, 1, 2, 2.5)))
    found_precision, recall = lidar_quality(drive, frames, too_large)
    assert found_precision > precision
    # The others are hidden from the camera, or at the edge of the object.
    assert recall > 0.9


def test_without_ranges_many_points_would_be_wrong(drive: Drive) -> None:
    frame = drive.frame(1.0)
    points, truth = drive.scan(1.0, frame.camera @ CAMERA_FROM_LIDAR, lidar_directions())
    labelled = labelled_frame(frame)
    is_thing = np.array([False, *(segment.is_thing for segment in labelled.segments)])
    unlimited = DepthGap(metres=1e6)
    found = label_lidar_points(points, CAMERA_FROM_LIDAR, drive.camera, labelled.labels, is_thing, unlimited)
    numbers = np.array([0, *(segment.track_id for segment in labelled.segments)])[found.ids]
    assert np.mean(numbers[numbers > 0] == truth[numbers > 0]) < 0.9


def test_objects_are_measured_by_their_points(drive: Drive) -> None:
    frame = drive.frame(1.0)
    world_from_lidar = frame.camera @ CAMERA_FROM_LIDAR
    points, _ = drive.scan(1.0, world_from_lidar, lidar_directions())
    labelled = labelled_frame(frame)
    is_thing = np.array([False, *(segment.is_thing for segment in labelled.segments)])
    found = label_lidar_points(points, CAMERA_FROM_LIDAR, drive.camera, labelled.labels, is_thing)
    axes = box_axes("gravity", CAMERA_FROM_LIDAR.rotation.T, frame.camera.rotation.T)
    measured = measure_in_cloud(points, found.ids, labelled.segments, axes, ObjectSettings())
    truth = true_objects(frame, drive.camera)
    assert len(measured) >= 4
    for one in measured:
        box, true = one.transformed(world_from_lidar).box, truth[one.segment.track_id]
        # A lidar sees other parts of the object than the camera does, and in other proportions.
        assert np.linalg.norm(box.position[:2] - true.position[:2]) < 0.6
        assert abs(box.position[2] - true.position[2]) < 0.4


def test_points_that_the_camera_does_not_see_stay_unlabelled() -> None:
    camera = CameraModel(10, 10, np.array([[10.0, 0, 4.5], [0, 10, 4.5], [0, 0, 1]]), np.zeros(0))
    points = np.array(
        [[0, 0, 2], [0, 0, -2], [0, 0, 0], [5, 0, 2], [0, -5, 2], [np.nan, 0, 2], [0.9, 0.9, 2], [1.01, 0, 2]],
        np.float32,
    )
    labels = np.ones((10, 10), np.uint16)
    found = label_lidar_points(points, RigidTransform(), camera, labels, np.array([False, True]))
    np.testing.assert_array_equal(found.visible, [True, False, False, False, False, False, True, False])
    np.testing.assert_array_equal(found.ids, found.visible.astype(np.uint16))
    image = np.zeros((10, 10, 3), np.uint8)
    image[9, 9] = 1, 2, 3
    table = segment_words([], packed_label=False)
    table = np.concatenate([table, table])
    written = write_lidar_points(points, found, table, image, np.array([6, 1]), PointMemory())
    np.testing.assert_array_equal(written[:, :3], points[[6, 1]])
    np.testing.assert_array_equal(written.view(np.uint32)[:, 3], [3 << 16 | 2 << 8 | 1, 0x808080])
