# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Depth at the pixels of another camera."""

from __future__ import annotations

import math

import numpy as np

from ciae_ros.core.compiled import compiled, inlined
from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.rigid_transform import RigidTransform

NEAREST = 0.05
"""Smallest depth in metres in the camera."""
LIMIT = 2.0**20
"""Pixels beyond are outside of any image, and may not fit into integers."""


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
    registered = np.full((camera.height, camera.width), np.inf, np.float32)
    matrix = np.hstack([transform.rotation, transform.translation[:, None]]).astype(np.float32)
    # Half of a depth pixel's width in pixels of the camera, at equal depths.
    half = np.float32(0.5 * camera.matrix[0, 0] / depth_camera.matrix[0, 0])
    if camera.distortion.size:
        rows, columns = np.nonzero(depth)
        z = depth[rows, columns, None]
        points = transform.apply(np.concatenate([depth_camera.rays[rows, columns] * z, z], axis=1))
        ahead = points[:, 2] > NEAREST
        points, z = points[ahead], z[ahead, 0]
        pixels = camera.project(points)
        seen = (np.abs(pixels) < LIMIT).all(axis=1)
        _splat(pixels[seen], points[seen, 2], (half * z / points[:, 2])[seen], registered)
    else:
        _project_and_splat(depth, depth_camera.rays, matrix, camera.matrix.astype(np.float32), half, registered)
    registered[np.isinf(registered)] = 0
    return registered


@compiled
def _project_and_splat(
    depth: np.ndarray,
    rays: np.ndarray,
    transform: np.ndarray,
    intrinsics: np.ndarray,
    half: np.float32,
    nearest: np.ndarray,
) -> None:
    """Project all depth pixels into a camera without distortion."""
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            z = depth[row, column]
            if not z > 0:
                continue
            x, y = rays[row, column, 0] * z, rays[row, column, 1] * z
            new_z = transform[2, 0] * x + transform[2, 1] * y + transform[2, 2] * z + transform[2, 3]
            if not new_z > NEAREST:
                continue
            new_x = transform[0, 0] * x + transform[0, 1] * y + transform[0, 2] * z + transform[0, 3]
            new_y = transform[1, 0] * x + transform[1, 1] * y + transform[1, 2] * z + transform[1, 3]
            inverse = 1 / new_z
            u = new_x * inverse * intrinsics[0, 0] + intrinsics[0, 2]
            v = new_y * inverse * intrinsics[1, 1] + intrinsics[1, 2]
            if abs(u) < LIMIT and abs(v) < LIMIT:
                _write_patch(u, v, half * z * inverse, new_z, nearest)


@compiled
def _splat(pixels: np.ndarray, depths: np.ndarray, halves: np.ndarray, nearest: np.ndarray) -> None:
    """Write the patches around pixels (n, 2) with their depths and half widths."""
    for index in range(len(depths)):
        _write_patch(pixels[index, 0], pixels[index, 1], halves[index], depths[index], nearest)


@inlined
def _write_patch(u: np.float32, v: np.float32, half: np.float32, z: np.float32, nearest: np.ndarray) -> None:
    """Write the depth of a patch to the pixels that it covers, unless they have a smaller one."""
    half += np.float32(1e-3)
    top, bottom = max(math.ceil(v - half), 0), min(math.floor(v + half) + 1, nearest.shape[0])
    left, right = max(math.ceil(u - half), 0), min(math.floor(u + half) + 1, nearest.shape[1])
    for row in range(top, bottom):
        for column in range(left, right):
            nearest[row, column] = min(nearest[row, column], z)
