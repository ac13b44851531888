# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Depth at the pixels of another camera."""

from __future__ import annotations

import numpy as np

from ciae_ros.core.compiled import compiled
from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.rigid_transform import RigidTransform


def register_depth(
    depth: np.ndarray, depth_camera: CameraModel, camera: CameraModel, transform: RigidTransform
) -> np.ndarray:
    """Return the depth that a camera sees, from the depth image of another one.

    Every depth pixel becomes a small patch of its surface, as large as the pixel; where several are at a pixel of the
    camera, the nearest one is seen.

    Args:
        depth: (h, w) float32 metres; 0 is no value.
        depth_camera: camera of the depth image.
        camera: camera of the result.
        transform: of the depth camera's coordinates to those of the camera.

    Returns:
        (H, W) float32 metres; 0 where no depth is known.
    """
    if transform.is_identity and depth_camera.is_similar(camera):
        return depth
    rows, columns = np.nonzero(depth)
    z = depth[rows, columns]
    points = transform.apply(np.concatenate([depth_camera.rays[rows, columns] * z[:, None], z[:, None]], axis=1))
    ahead = points[:, 2] > 0.05
    points, z = points[ahead], z[ahead]
    pixels = camera.project(points)
    # Half of a depth pixel's width, in pixels of the camera.
    half = 0.5 * camera.matrix[0, 0] / depth_camera.matrix[0, 0] * z / points[:, 2]
    low = np.ceil(pixels - half[:, None] - 1e-3).clip(-1, 2**20).astype(np.int32)
    high = np.floor(pixels + half[:, None] + 1e-3).clip(-1, 2**20).astype(np.int32)
    registered = np.full((camera.height, camera.width), np.inf, np.float32)
    _write_nearest(low, high, points[:, 2], registered)
    registered[np.isinf(registered)] = 0
    return registered


@compiled
def _write_nearest(low: np.ndarray, high: np.ndarray, depths: np.ndarray, nearest: np.ndarray) -> None:
    """Write the smallest depth of the patches that cover each pixel."""
    height, width = nearest.shape
    for index in range(len(depths)):
        z = depths[index]
        for row in range(max(low[index, 1], 0), min(high[index, 1] + 1, height)):
            for column in range(max(low[index, 0], 0), min(high[index, 0] + 1, width)):
                nearest[row, column] = min(nearest[row, column], z)
