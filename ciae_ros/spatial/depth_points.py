# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The labelled points of a depth image."""

from __future__ import annotations

import numpy as np

from ciae_ros.core.compiled import compiled_with_nan
from ciae_ros.spatial.rigid_transform import RigidTransform


def label_depth_points(
    depth: np.ndarray,
    rays: np.ndarray,
    labels: np.ndarray,
    table: np.ndarray,
    colors: np.ndarray | None,
    transform: RigidTransform,
    organised: bool,
    stride: int,
    unlabelled: bool,
    points: np.ndarray,
) -> int:
    """Write the points of a depth image with their labels.

    Args:
        depth: (H, W) float32 metres; 0 is no value.
        rays: (H, W, 2) float32 of the camera.
        labels: (H, W) uint16 ids of segments.
        table: (S + 1, words - 3) uint32 of `segment_words`.
        colors: (H, W, 3) uint8 BGR of the points instead of those in the table.
        transform: of the camera's coordinates to those of the points.
        organised: whether pixels without a depth get a point of NaN, so that the points form an image.
        stride: use each `stride`-th row and column.
        unlabelled: whether pixels without a segment get a point, too.
        points: (N, words) float32 of `new_points`, overwritten; large enough for all of these pixels.

    Returns:
        The number of points.
    """
    matrix = np.hstack([transform.rotation, transform.translation[:, None]]).astype(np.float32)
    no_colors = np.zeros((0, 0, 3), np.uint8)
    return int(
        _write(
            depth,
            rays,
            labels,
            table,
            no_colors if colors is None else colors,
            matrix,
            organised,
            stride,
            unlabelled,
            points,
            points.view(np.uint32),
        )
    )


@compiled_with_nan
def _write(
    depth: np.ndarray,
    rays: np.ndarray,
    labels: np.ndarray,
    table: np.ndarray,
    colors: np.ndarray,
    matrix: np.ndarray,
    organised: bool,
    stride: int,
    unlabelled: bool,
    points: np.ndarray,
    words: np.ndarray,
) -> int:
    count = 0
    colored = colors.shape[0] > 0
    extra = table.shape[1]
    for row in range(0, depth.shape[0], stride):
        for column in range(0, depth.shape[1], stride):
            z = depth[row, column]
            label = labels[row, column]
            if z > 0 and (unlabelled or label > 0):
                x, y = rays[row, column, 0] * z, rays[row, column, 1] * z
                for axis in range(3):
                    points[count, axis] = (
                        matrix[axis, 0] * x + matrix[axis, 1] * y + matrix[axis, 2] * z + matrix[axis, 3]
                    )
            elif organised:
                points[count, 0] = np.nan
                points[count, 1] = np.nan
                points[count, 2] = np.nan
            else:
                continue
            for word in range(extra):
                words[count, 3 + word] = table[label, word]
            if colored:
                blue, green, red = colors[row, column]
                words[count, 3] = (np.uint32(red) << 16) | (np.uint32(green) << 8) | np.uint32(blue)
            count += 1
    return count
