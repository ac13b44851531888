# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The pixels of a segment that lie on its surface, although its mask is not exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ciae_ros.core.compiled import compiled, inlined
from ciae_ros.spatial.object_range import DepthGap, object_range
from ciae_ros.spatial.surfaces import continues

MAX_SURFACE_STEP = 0.025
"""Largest relative difference in depth between neighbouring pixels of a surface."""
NOISE_FACTOR = 4.0
"""Allowed difference between neighbouring pixels, relative to the usual one within an object."""


@dataclass(frozen=True)
class MaskTrimming:
    """How the border of a mask, where it may cover what is behind or in front of the object, is treated."""

    border: int = 4
    """Width in pixels of the border whose pixels must continue the surface of the pixels within it."""
    surface_step: float = 0.008
    """Relative difference in depth between neighbouring pixels of a surface that is always allowed; up to
    `MAX_SURFACE_STEP`, the sensor's noise allows more."""
    gap: DepthGap = field(default_factory=DepthGap)
    max_samples: int = 2000
    """Number of points that a large segment is measured by."""


def surface_points(
    labels: np.ndarray,
    depth: np.ndarray,
    rays: np.ndarray,
    segment_id: int,
    box: Sequence[int],
    trimming: MaskTrimming,
    min_points: int,
) -> tuple[np.ndarray, int]:
    """Return points on the surface of a segment.

    The mask is eroded, and what was eroded returns as far as it continues the surface in depth: of an exact mask
    nothing is lost, and of a mask that is too large only the object remains. The border is narrower for a segment of
    which too little would remain.

    Args:
        labels: (H, W) uint16 ids of segments.
        depth: (H, W) float32 metres; 0 is no value.
        rays: (H, W, 2) float32 of the camera.
        segment_id: the segment.
        box: x, y, width and height of its pixels.
        trimming: border and continuity of surfaces.
        min_points: number of pixels within the border that are enough.

    Returns:
        Evenly chosen points (n, 3) float32 in the camera's coordinates, and the number of pixels that they stand for.
    """
    x, y, width, height = box
    window = slice(y, y + height), slice(x, x + width)
    depth, rays = depth[window], rays[window]
    distance = _border_distances(labels, segment_id, window, trimming.border)
    accepted = np.empty((height, width), np.bool_)
    for border in range(trimming.border, -1, -1):
        inside = _accept_inside(depth, distance, border, accepted)
        if inside >= min_points:
            break
    if not inside:
        return np.empty((0, 3), np.float32), 0
    nearest, farthest = object_range(depth[accepted], trimming.gap)
    step = _step_between_pixels(depth, accepted, trimming)
    total = _accept_surface(depth, distance, border, step, nearest, farthest, accepted)
    points = np.empty((min(total, trimming.max_samples), 3), np.float32)
    _collect(depth, rays, accepted, total, step, points)
    return points, total


def _step_between_pixels(depth: np.ndarray, accepted: np.ndarray, trimming: MaskTrimming) -> np.float32:
    """Return the relative difference in depth that neighbouring pixels of the surface may have."""
    pairs = accepted[:, 1:] & accepted[:, :-1]
    nearer = depth[:, 1:][pairs]
    if not len(nearer):
        return np.float32(trimming.surface_step)
    every = max(1, len(nearer) // trimming.max_samples)
    differences = np.abs(depth[:, :-1][pairs][::every] / nearer[::every] - 1)
    typical = float(np.median(differences))
    return np.float32(max(min(NOISE_FACTOR * typical, MAX_SURFACE_STEP), trimming.surface_step))


def _border_distances(labels: np.ndarray, segment_id: int, window: tuple[slice, slice], border: int) -> np.ndarray:
    """Return the distance of the pixels in a window to the outside of a mask, in steps to any of eight neighbours.

    Returns:
        (h + 2, w + 2) uint8, with a frame of one pixel around the window; border + 1 stands for all that is farther.
        Where the window is at an edge of the image, the mask is taken to continue beyond it.
    """
    rows, columns = window
    distance = np.zeros((rows.stop - rows.start + 2, columns.stop - columns.start + 2), np.uint8)
    distance[1:-1, 1:-1] = (labels[window] == segment_id) * np.uint8(border + 1)
    if rows.start == 0:
        distance[0] = border + 1
    if rows.stop == labels.shape[0]:
        distance[-1] = border + 1
    if columns.start == 0:
        distance[:, 0] = border + 1
    if columns.stop == labels.shape[1]:
        distance[:, -1] = border + 1
    _relax(distance)
    return distance


@compiled
def _relax(distance: np.ndarray) -> None:
    """Let no pixel be farther than a neighbour by more than a step, in one pass down and one up."""
    height, width = distance.shape
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            near = min(
                min(distance[row, column - 1], distance[row - 1, column]),
                min(distance[row - 1, column - 1], distance[row - 1, column + 1]),
            )
            distance[row, column] = min(distance[row, column], near + 1)
    for row in range(height - 2, 0, -1):
        for column in range(width - 2, 0, -1):
            near = min(
                min(distance[row, column + 1], distance[row + 1, column]),
                min(distance[row + 1, column - 1], distance[row + 1, column + 1]),
            )
            distance[row, column] = min(distance[row, column], near + 1)


@compiled
def _accept_inside(depth: np.ndarray, distance: np.ndarray, border: int, accepted: np.ndarray) -> int:
    """Accept the measured pixels deeper than the border; returns their number."""
    count = 0
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            is_inside = distance[row + 1, column + 1] > border and depth[row, column] > 0
            accepted[row, column] = is_inside
            count += is_inside
    return count


@compiled
def _accept_surface(
    depth: np.ndarray,
    distance: np.ndarray,
    border: int,
    step: np.float32,
    nearest: float,
    farthest: float,
    accepted: np.ndarray,
) -> int:
    """Of the accepted pixels keep those in a range, then add those of the border that continue them, outwards.

    Returns:
        The number of accepted pixels.
    """
    height, width = depth.shape
    count = 0
    for row in range(height):
        for column in range(width):
            accepted[row, column] &= nearest <= depth[row, column] <= farthest
            count += accepted[row, column]
    for level in range(border, 0, -1):
        for row in range(height):
            for column in range(width):
                if distance[row + 1, column + 1] == level:
                    accepted[row, column] = _continues(depth, accepted, row, column, step)
                    count += accepted[row, column]
    return count


@inlined
def _continues(depth: np.ndarray, accepted: np.ndarray, row: int, column: int, step: np.float32) -> bool:
    """Whether a pixel continues the surface of accepted ones in one of eight directions."""
    height, width = depth.shape
    z = depth[row, column]
    found = False
    for down in range(-1, 2):
        for right in range(-1, 2):
            next_row, next_column = row + down, column + right
            if 0 <= next_row < height and 0 <= next_column < width and accepted[next_row, next_column]:
                second = np.float32(0)
                if 0 <= next_row + down < height and 0 <= next_column + right < width:
                    second = depth[next_row + down, next_column + right]
                found |= continues(z, depth[next_row, next_column], second, step)
    return found


@compiled
def _collect(
    depth: np.ndarray, rays: np.ndarray, accepted: np.ndarray, total: int, step: np.float32, points: np.ndarray
) -> None:
    """Write points of the accepted pixels, chosen evenly among all `total` of them."""
    seen = count = 0
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            if accepted[row, column]:
                if seen * len(points) >= count * total and count < len(points):
                    z = _smoothed(depth, accepted, row, column, step)
                    points[count, 0] = rays[row, column, 0] * z
                    points[count, 1] = rays[row, column, 1] * z
                    points[count, 2] = z
                    count += 1
                seen += 1


@inlined
def _smoothed(depth: np.ndarray, accepted: np.ndarray, row: int, column: int, step: np.float32) -> float:
    """Average the depth of a pixel with its accepted neighbours on the same surface, which reduces noise.

    Inverse depth is averaged because it is linear in the pixels of a plane.
    """
    inverse = 1 / depth[row, column]
    allowed = 2 * step * inverse
    total, count = inverse * 0, 0
    for other_row in range(max(row - 2, 0), min(row + 3, depth.shape[0])):
        for other in range(max(column - 2, 0), min(column + 3, depth.shape[1])):
            if accepted[other_row, other]:
                value = 1 / depth[other_row, other]
                if abs(value - inverse) <= allowed:
                    total += value
                    count += 1
    return count / total
