# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The labelled points of a lidar, by the camera that sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ciae_ros.core.compiled import compiled
from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.object_range import DepthGap, object_range
from ciae_ros.spatial.point_layout import COORDINATES
from ciae_ros.spatial.point_memory import PointMemory
from ciae_ros.spatial.rigid_transform import RigidTransform

NEAREST = 0.05
"""Smallest distance in metres from the camera's plane of a point that it can see."""
LIDAR_GAP = DepthGap(metres=0.3, share=0.02)
"""Lidar points are farther apart than the pixels of a depth image."""
BORDER = 4
"""Width in pixels of the border of a mask, of which the points may be on something else."""
ENOUGH_INSIDE = 5
"""Number of points within the border that determine the range of an object."""


@dataclass(frozen=True)
class LidarLabels:
    """What a camera sees of each of N points."""

    ids: np.ndarray
    """(N,) uint16 ids of segments; 0: unlabelled, outside the image, or hidden by an object."""
    visible: np.ndarray
    """(N,) bool: within the image and in front of the camera."""
    pixels: np.ndarray
    """(N, 2) int32 x and y of the pixel; only of visible points."""
    hidden: int
    """Number of points within an object's mask that are not on the object."""


def label_lidar_points(
    points: np.ndarray,
    camera_from_lidar: RigidTransform,
    camera: CameraModel,
    labels: np.ndarray,
    is_thing: np.ndarray,
    gap: DepthGap = LIDAR_GAP,
) -> LidarLabels:
    """Give each point the label of the pixel that it appears at.

    A lidar that is mounted elsewhere sees points behind an object that the camera does not see. They are within the
    mask of the object, but do not get its label: only points in the range of depths of the object do.

    Args:
        points: (N, 3) float32 in the lidar's coordinates; NaN is no point.
        camera_from_lidar: transform of the lidar's coordinates to those of the camera.
        camera: camera of the labels.
        labels: (H, W) uint16 ids of segments.
        is_thing: (S + 1,) bool: which segment ids belong to objects.
        gap: what separates an object from other things in depth.
    """
    in_camera = camera_from_lidar.apply(points.astype(np.float32, copy=False))
    ids = np.zeros(len(points), np.uint16)
    visible = np.zeros(len(points), np.bool_)
    pixels = np.zeros((len(points), 2), np.int32)
    ahead = np.flatnonzero(in_camera[:, 2] > NEAREST)
    projected = camera.project(in_camera[ahead])
    inside = ((projected > -0.5) & (projected < (camera.width - 0.5, camera.height - 0.5))).all(axis=1)
    seen = ahead[inside]
    visible[seen] = True
    pixels[seen] = np.rint(projected[inside]).astype(np.int32)
    found, is_inside = np.empty(len(seen), np.uint16), np.empty(len(seen), np.bool_)
    _look_up(labels, pixels[seen], found, is_inside)
    hidden = _clear_hidden(found, in_camera[seen, 2], is_inside, is_thing, gap)
    ids[seen] = found
    return LidarLabels(ids, visible, pixels, hidden)


@compiled
def _look_up(labels: np.ndarray, pixels: np.ndarray, ids: np.ndarray, is_inside: np.ndarray) -> None:
    """Write the labels at pixels (n, 2), and whether those around them at the distance of the border are equal."""
    height, width = labels.shape
    for index in range(len(pixels)):
        column, row = pixels[index, 0], pixels[index, 1]
        own = labels[row, column]
        top, bottom = max(row - BORDER, 0), min(row + BORDER, height - 1)
        left, right = max(column - BORDER, 0), min(column + BORDER, width - 1)
        ids[index] = own
        is_inside[index] = (
            labels[top, left] == own
            and labels[top, column] == own
            and labels[top, right] == own
            and labels[row, left] == own
            and labels[row, right] == own
            and labels[bottom, left] == own
            and labels[bottom, column] == own
            and labels[bottom, right] == own
        )


def _clear_hidden(
    ids: np.ndarray, depths: np.ndarray, is_inside: np.ndarray, is_thing: np.ndarray, gap: DepthGap
) -> int:
    """Set the ids of points that are not on the object of their mask to 0; returns their number."""
    of_things = np.flatnonzero(is_thing[ids])
    by_segment = of_things[np.argsort(ids[of_things], kind="stable")]
    bounds = np.flatnonzero(np.diff(ids[by_segment])) + 1
    hidden = 0
    for members in np.split(by_segment, bounds) if len(by_segment) else []:
        inside = members[is_inside[members]]
        nearest, farthest = object_range(depths[inside if len(inside) >= ENOUGH_INSIDE else members], gap)
        outside = members[(depths[members] < nearest) | (depths[members] > farthest)]
        ids[outside] = 0
        hidden += len(outside)
    return hidden


def write_lidar_points(
    points: np.ndarray,
    found: LidarLabels,
    table: np.ndarray,
    colors: np.ndarray | None,
    chosen: np.ndarray,
    memory: PointMemory,
) -> np.ndarray:
    """Return labelled points.

    Args:
        points: (N, 3) float32 in the coordinates of the result.
        found: their labels.
        table: (S + 1, words - 3) uint32 of `segment_words`.
        colors: (H, W, 3) uint8 BGR of the camera's image, instead of those in the table.
        chosen: (M,) indices of the points in the result.
        memory: memory of the result.

    Returns:
        (M, words) float32 in the layout of `point_fields`.
    """
    result = memory.reserve(len(chosen), COORDINATES + table.shape[1])
    words = result.view(np.uint32)
    words[:, :COORDINATES] = points[chosen].view(np.uint32)
    words[:, COORDINATES:] = table[found.ids[chosen]]
    if colors is not None:
        seen = np.flatnonzero(found.visible[chosen])
        columns, rows = found.pixels[chosen[seen]].T
        blue, green, red = colors[rows, columns].T.astype(np.uint32)
        words[seen, COORDINATES] = red << 16 | green << 8 | blue
    return result
