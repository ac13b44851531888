# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Boxes of labelled objects in the real clouds of mOSD (Kinect), against all their points."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.depth_cleaning import DepthLimits, clean_depth
from ciae_ros.spatial.objects import ObjectSettings, box_axes, measure_in_depth
from ciae_ros.spatial.point_layout import LabelledSegment
from tests.rendering.sensor import enlarged
from tests.spatial.pcd import read_pcd

CAMERA = CameraModel(480, 640, np.array([[525.0, 0, 319.5], [0, 525, 239.5], [0, 0, 1]]), np.zeros(0))


@pytest.mark.parametrize(("too_large", "position", "extent"), [(0, 0.003, 0.015), (3, 0.006, 0.015)])
def test_boxes_of_labelled_objects_are_those_of_their_points(
    data: Path, too_large: int, position: float, extent: float
) -> None:
    positions, extents = [], []
    for path in sorted((data / "sequences" / "mosd").glob("*.pcd")):
        cloud = read_pcd(path)
        z = np.nan_to_num(cloud["z"]).astype(np.float32)
        np.testing.assert_allclose(CAMERA.rays[..., 0] * z, np.nan_to_num(cloud["x"]), atol=1e-6)
        # Tens are objects, of which each visible face has its own label; below 20 is the table.
        objects = np.where(cloud["label"] >= 20, cloud["label"] // 10 - 1, 0).astype(np.uint8)
        labels = enlarged(objects, np.where(z > 0, z, 9), too_large) if too_large else objects
        segments = [
            LabelledSegment(int(one), 1, "object", True, 1.0, _box(labels == one), (0, 0, 0))
            for one in np.unique(labels)
            if one
        ]
        found = measure_in_depth(
            labels.astype(np.uint16),
            clean_depth(z, DepthLimits()),
            CAMERA.rays,
            segments,
            box_axes("camera", np.eye(3), None),
            ObjectSettings(),
        )
        assert len(found) == len(segments) >= 2
        for one in found:
            mask = (objects == one.segment.id) & (z > 0)
            points = np.stack([cloud[axis][mask] for axis in "xyz"], axis=1)
            positions.append(float(np.linalg.norm(one.box.position - np.median(points, axis=0))))
            extents.append(float(np.abs(one.box.size - (points.max(axis=0) - points.min(axis=0))).max()))
    assert len(positions) == 14
    assert max(positions) < position
    assert max(extents) < extent


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return x, y, width, height
