# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The labelled points of a depth image."""

from __future__ import annotations

import numpy as np

from ciae_ros.core.compiled import compiled, compiled_with_nan
from ciae_ros.spatial.point_layout import COORDINATES
from ciae_ros.spatial.point_memory import PointMemory
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
    memory: PointMemory,
) -> np.ndarray:
    """Return the points of a depth image with their labels.

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
        memory: memory of the points.

    Returns:
        (N, words) float32 in the layout of `point_fields`.
    """
    if organised:
        count = -(-depth.shape[0] // stride) * -(-depth.shape[1] // stride)
    else:
        count = _count(depth, labels, stride, unlabelled)
    points = memory.reserve(count, COORDINATES + table.shape[1])
    matrix = np.hstack([transform.rotation, transform.translation[:, None]]).astype(np.float32)
    no_colors = np.zeros((0, 0, 3), np.uint8)
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
    return points


@compiled
def _count(depth: np.ndarray, labels: np.ndarray, stride: int, unlabelled: bool) -> int:
    """Return the number of pixels that become a point."""
    count = 0
    for row in range(0, depth.shape[0], stride):
        for column in range(0, depth.shape[1], stride):
            count += depth[row, column] > 0 and (unlabelled or labels[row, column] > 0)
    return count


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
) -> None:
    count = 0
    colored = colors.shape[0] > 0
    packed = table.shape[1] > 3
    for row in range(0, depth.shape[0], stride):
        for column in range(0, depth.shape[1], stride):
            z = depth[row, column]
            label = labels[row, column]
            if z > 0 and (unlabelled or label > 0):
                x, y = rays[row, column, 0] * z, rays[row, column, 1] * z
                points[count, 0] = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3]
                points[count, 1] = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3]
                points[count, 2] = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3]
            elif organised:
                points[count, 0] = np.nan
                points[count, 1] = np.nan
                points[count, 2] = np.nan
            else:
                continue
            if colored:
                blue, green, red = colors[row, column]
                words[count, 3] = (np.uint32(red) << 16) | (np.uint32(green) << 8) | np.uint32(blue)
            else:
                words[count, 3] = table[label, 0]
            words[count, 4] = table[label, 1]
            words[count, 5] = table[label, 2]
            if packed:
                words[count, 6] = table[label, 3]
            count += 1
