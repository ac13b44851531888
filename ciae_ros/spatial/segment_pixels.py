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


@dataclass(frozen=True)
class SurfacePoints:
    """Points on the surface of a segment."""

    points: np.ndarray
    """(n, 3) float32 in the camera's coordinates, chosen evenly."""
    num_pixels: int
    """Number of pixels that they stand for."""
    area: int
    """Number of pixels of the segment."""


def surface_points(
    labels: np.ndarray,
    depth: np.ndarray,
    rays: np.ndarray,
    segment_id: int,
    box: Sequence[int],
    trimming: MaskTrimming,
    min_points: int,
) -> SurfacePoints:
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
    """
    x, y, width, height = box
    window = slice(y, y + height), slice(x, x + width)
    depth, rays = depth[window], rays[window]
    distance = _frame_of_distances(labels.shape, window, trimming.border)
    counts = _measure_distance(labels[window], depth, segment_id, trimming.border + 1, distance)
    area = int(counts[0, 1:].sum())
    deeper = counts[1, ::-1].cumsum()[::-1]
    border = next((width for width in range(trimming.border, 0, -1) if deeper[width + 1] >= min_points), 0)
    inside = int(deeper[border + 1])
    if not inside:
        return SurfacePoints(np.empty((0, 3), np.float32), 0, area)
    every = max(1, inside // trimming.max_samples)
    samples, differences = _sample_inside(depth, distance, border, every, inside // every + 1)
    nearest, farthest = object_range(samples, trimming.gap)
    step = trimming.surface_step
    if len(differences):
        step = max(min(NOISE_FACTOR * float(np.sort(differences)[len(differences) // 2]), MAX_SURFACE_STEP), step)
    accepted = np.empty(depth.shape, np.bool_)
    band = np.empty((int(counts[1, 1 : border + 1].sum()), 3), np.int32)
    total = _accept(depth, distance, border, np.float32(nearest), np.float32(farthest), accepted, band)
    total += _grow(depth, band, border, np.float32(step), accepted)
    points = np.empty((min(total, trimming.max_samples), 3), np.float32)
    _collect(depth, rays, accepted, total, np.float32(step), points)
    return SurfacePoints(points, total, area)


def _frame_of_distances(size: tuple[int, ...], window: tuple[slice, slice], border: int) -> np.ndarray:
    """Return memory for distances to the outside of a mask, (h + 2, w + 2) uint8, with a frame around the window.

    Where the window is at an edge of the image, the mask is taken to continue beyond it.
    """
    rows, columns = window
    distance = np.zeros((rows.stop - rows.start + 2, columns.stop - columns.start + 2), np.uint8)
    if rows.start == 0:
        distance[0] = border + 1
    if rows.stop == size[0]:
        distance[-1] = border + 1
    if columns.start == 0:
        distance[:, 0] = border + 1
    if columns.stop == size[1]:
        distance[:, -1] = border + 1
    return distance


@compiled
def _measure_distance(
    labels: np.ndarray, depth: np.ndarray, segment_id: int, most: int, distance: np.ndarray
) -> np.ndarray:
    """Write the distance of each pixel to the outside of a mask, in steps to any of eight neighbours, up to `most`.

    No pixel of the mask may be farther than a neighbour by more than a step, which takes one pass down and one up.

    Args:
        labels: (h, w) of the window.
        depth: (h, w) of the window.
        segment_id: the mask.
        most: stands for all larger distances.
        distance: (h + 2, w + 2), written except for its frame.

    Returns:
        (2, most + 1): numbers of pixels by distance, and of those with a depth.
    """
    height, width = labels.shape
    for row in range(1, height + 1):
        before = distance[row, 0]
        for column in range(1, width + 1):
            near = np.uint8(0)
            if labels[row - 1, column - 1] == segment_id:
                above = min(distance[row - 1, column - 1], distance[row - 1, column])
                near = min(min(before, above), min(distance[row - 1, column + 1], np.uint8(most - 1)))
                near = np.uint8(near + 1)
            distance[row, column] = near
            before = near
    counts = np.zeros((2, most + 1), np.int64)
    for row in range(height, 0, -1):
        after = distance[row, width + 1]
        for column in range(width, 0, -1):
            near = distance[row, column]
            if near > 1:
                below = min(distance[row + 1, column - 1], distance[row + 1, column])
                near = min(near, np.uint8(1 + min(min(after, below), distance[row + 1, column + 1])))
                distance[row, column] = near
            after = near
            counts[0, near] += 1
            counts[1, near] += depth[row - 1, column - 1] > 0
    return counts


@compiled
def _sample_inside(
    depth: np.ndarray, distance: np.ndarray, border: int, every: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return depths of evenly chosen pixels deeper than the border, and relative differences to the next pixel."""
    samples, differences = np.empty(most, np.float32), np.empty(most, np.float32)
    count = pairs = skip = 0
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            z = depth[row, column]
            if distance[row + 1, column + 1] > border and z > 0:
                if skip == 0:
                    skip = every
                    samples[count] = z
                    count += 1
                    if distance[row + 1, column + 2] > border and depth[row, column + 1] > 0:
                        differences[pairs] = abs(depth[row, column + 1] / z - 1)
                        pairs += 1
                skip -= 1
    return samples[:count], differences[:pairs]


@compiled
def _accept(
    depth: np.ndarray,
    distance: np.ndarray,
    border: int,
    nearest: np.float32,
    farthest: np.float32,
    accepted: np.ndarray,
    band: np.ndarray,
) -> int:
    """Accept the pixels deeper than the border that are in the range, and list the measured ones of the border.

    Args:
        depth: (h, w) of the window.
        distance: (h + 2, w + 2) distances to the outside of the mask.
        border: width of the border.
        nearest: smallest depth of the object.
        farthest: largest depth of the object.
        accepted: (h, w), written.
        band: (n, 3), written: row, column and distance of the pixels of the border.

    Returns:
        The number of accepted pixels.
    """
    count = listed = 0
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            near, z = distance[row + 1, column + 1], depth[row, column]
            is_inside = near > border and nearest <= z <= farthest and z > 0
            accepted[row, column] = is_inside
            count += is_inside
            if 0 < near <= border and z > 0:
                band[listed, 0], band[listed, 1], band[listed, 2] = row, column, near
                listed += 1
    return count


@compiled
def _grow(depth: np.ndarray, band: np.ndarray, border: int, step: np.float32, accepted: np.ndarray) -> int:
    """Accept the pixels of the border that continue accepted ones, outwards; returns their number."""
    count = 0
    for level in range(border, 0, -1):
        for index in range(len(band)):
            row, column = band[index, 0], band[index, 1]
            if band[index, 2] == level and _continues(depth, accepted, row, column, step):
                accepted[row, column] = True
                count += 1
    return count


@inlined
def _continues(depth: np.ndarray, accepted: np.ndarray, row: int, column: int, step: np.float32) -> bool:
    """Whether a pixel continues the surface of accepted ones in one of eight directions."""
    height, width = depth.shape
    z = depth[row, column]
    for down in range(-1, 2):
        for right in range(-1, 2):
            next_row, next_column = row + down, column + right
            if 0 <= next_row < height and 0 <= next_column < width and accepted[next_row, next_column]:
                second = np.float32(0)
                if 0 <= next_row + down < height and 0 <= next_column + right < width:
                    second = depth[next_row + down, next_column + right]
                if continues(z, depth[next_row, next_column], second, step):
                    return True
    return False


@compiled
def _collect(
    depth: np.ndarray, rays: np.ndarray, accepted: np.ndarray, total: int, step: np.float32, points: np.ndarray
) -> None:
    """Write points of the accepted pixels, chosen evenly among all `total` of them."""
    count = 0
    wanted = len(points)
    # A fraction of `total` for each pixel; a point is due when it reaches 1.
    due = total
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            if accepted[row, column]:
                if due >= total and count < wanted:
                    due -= total
                    z = _smoothed(depth, accepted, row, column, step)
                    points[count, 0] = rays[row, column, 0] * z
                    points[count, 1] = rays[row, column, 1] * z
                    points[count, 2] = z
                    count += 1
                due += wanted


@inlined
def _smoothed(depth: np.ndarray, accepted: np.ndarray, row: int, column: int, step: np.float32) -> np.float32:
    """Average the depth of a pixel with accepted ones around it on the same surface, which reduces noise.

    Inverse depth is averaged because it is linear in the pixels of a plane.
    """
    z = depth[row, column]
    allowed = 2 * step * z
    total, count = np.float32(0), 0
    for other_row in range(row - 2, row + 3):
        for other in range(column - 2, column + 3):
            if 0 <= other_row < depth.shape[0] and 0 <= other < depth.shape[1] and accepted[other_row, other]:
                other_z = depth[other_row, other]
                if abs(other_z - z) <= allowed:
                    total += 1 / other_z
                    count += 1
    return np.float32(count / total)
