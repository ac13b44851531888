# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Depth of one camera at the pixels of another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.depth_cleaning import DepthLimits, clean_depth
from ciae_ros.spatial.depth_registration import register_depth
from ciae_ros.spatial.rigid_transform import RigidTransform

if TYPE_CHECKING:
    from tests.rendering.drive import Drive

BASELINE = RigidTransform(np.eye(3), np.array([0.12, 0.03, 0.0]))
"""Of the depth camera's coordinates to those of the camera."""


def resized(camera: CameraModel, factor: int) -> CameraModel:
    """A camera with fewer pixels, each as large as several."""
    matrix = camera.matrix / factor
    matrix[:2, 2] = (camera.matrix[:2, 2] + 0.5) / factor - 0.5
    matrix[2, 2] = 1
    return replace(camera, height=camera.height // factor, width=camera.width // factor, matrix=matrix)


def test_registered_depth_is_used_as_it_is(drive: Drive) -> None:
    depth = np.ones((480, 640), np.float32)
    assert register_depth(depth, drive.camera, drive.camera, RigidTransform()) is depth


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_depth_of_a_camera_beside_it_becomes_what_the_camera_sees(drive: Drive, factor: int) -> None:
    frame = drive.frame(1.0)
    beside = drive.frame(1.0, frame.camera @ BASELINE)
    limits = DepthLimits(farthest=40, flying_pixel_step=0)
    small = np.ascontiguousarray(clean_depth(beside.depth, limits)[factor // 2 :: factor, factor // 2 :: factor])
    small = small[: 480 // factor, : 640 // factor]
    camera = resized(drive.camera, factor)
    if factor % 2 == 0:  # The chosen pixel is half a pixel off the centre of its block.
        camera = replace(
            camera, matrix=camera.matrix - np.array([[0, 0, 0.5 / factor], [0, 0, 0.5 / factor], [0, 0, 0]])
        )
    found = register_depth(small, camera, drive.camera, BASELINE)
    truth = clean_depth(frame.depth, limits)
    both = (found > 0) & (truth > 0)
    # What only the camera sees, and the borders of its image, have no depth.
    assert both.sum() > 0.93 * (truth > 0).sum()
    errors = np.abs(found - truth)[both] / truth[both]
    assert np.median(errors) < 0.002 * factor
    assert np.mean(errors < 0.03 * factor) > 0.98 - 0.01 * factor


def test_the_nearest_of_several_surfaces_is_seen() -> None:
    camera = CameraModel(20, 20, np.array([[20.0, 0, 9.5], [0, 20, 9.5], [0, 0, 1]]), np.zeros(0))
    depth = np.full((20, 20), 4, np.float32)
    depth[:, :10] = 2
    sideways = RigidTransform(np.eye(3), np.array([0.5, 0.0, 0.0]))
    found = register_depth(depth, camera, camera, sideways)
    # The near surface moves by 5 pixels and the far one by 2.5: it covers three columns of it.
    assert set(np.unique(found[:, 5:15])) == {2}
    assert set(np.unique(found[:, 16:])) == {4}
    assert set(np.unique(found[:, :5])) == {0}


def test_a_distorted_camera_sees_the_depth_on_its_rays() -> None:
    """A wall is at the same depth for both, also where the distortion's polynomial would turn back."""
    wide = CameraModel(60, 200, np.array([[30.0, 0, 99.5], [0, 30, 29.5], [0, 0, 1]]), np.zeros(0))
    matrix = np.array([[60.0, 0, 29.5], [0, 60, 19.5], [0, 0, 1]])
    distorted = CameraModel(40, 60, matrix, np.array([-0.3, 0.0, 0.0, 0.0]))
    depth = np.full((60, 200), 2, np.float32)
    # What is far to the sides is nearer; it is outside of the camera's field of view.
    depth[:, :50] = depth[:, 150:] = 1
    found = register_depth(depth, wide, distorted, RigidTransform())
    assert set(np.unique(found)) == {2}
