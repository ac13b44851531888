# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Removal of unusable values from depth images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ciae_ros.core.compiled import compiled, compiled_with_nan, inlined
from ciae_ros.spatial.surfaces import continues


@dataclass(frozen=True)
class DepthLimits:
    """Which values of a depth image are used."""

    nearest: float = 0.1
    """In metres."""
    farthest: float = 60.0
    flying_pixel_step: float = 0.05
    """Relative difference in depth between neighbouring pixels above which they are not on the same surface: at a
    focal length of 500 pixels, a surface whose normal is 88 degrees off the ray has 0.057. 0: keep flying pixels."""


def clean_depth(depth: np.ndarray, limits: DepthLimits, metres: float = 1.0) -> np.ndarray:
    """Return the usable depth of each pixel.

    A flying pixel lies between two surfaces, where the sensor has mixed them: along a row or a column, neither of its
    neighbours continues its surface.

    Args:
        depth: (H, W) float32 or uint16 z coordinates; 0, NaN and infinity are missing values.
        limits: range, and definition of flying pixels.
        metres: length of the unit of `depth`.

    Returns:
        (H, W) float32 in metres, 0 where there is no usable value.
    """
    converted = np.empty(depth.shape, np.float32)
    _convert(depth, np.float32(metres), np.float32(limits.nearest), np.float32(limits.farthest), converted)
    if not limits.flying_pixel_step:
        return converted
    cleaned = np.empty_like(converted)
    _remove_flying_pixels(converted, np.float32(limits.flying_pixel_step), cleaned)
    return cleaned


@compiled_with_nan
def _convert(
    depth: np.ndarray, metres: np.float32, nearest: np.float32, farthest: np.float32, converted: np.ndarray
) -> None:
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            z = np.float32(depth[row, column]) * metres
            converted[row, column] = z if nearest <= z <= farthest else np.float32(0)


@compiled
def _remove_flying_pixels(depth: np.ndarray, step: np.float32, cleaned: np.ndarray) -> None:
    height, width = depth.shape
    is_clear = np.empty(width, np.bool_)
    for row in range(height):
        cleaned[row] = depth[row]
        if not 2 <= row < height - 2:
            continue
        # Most pixels have a neighbour on their surface along both axes. This loop has no branches and is vectorised.
        for column in range(1, width - 1):
            z = depth[row, column]
            allowed = step * z
            across = min(abs(depth[row, column - 1] - z), abs(depth[row, column + 1] - z))
            along = min(abs(depth[row - 1, column] - z), abs(depth[row + 1, column] - z))
            is_clear[column] = max(across, along) <= allowed
        for column in range(2, width - 2):
            if not is_clear[column] and _is_flying(depth, row, column, step):
                cleaned[row, column] = 0


@inlined
def _is_flying(depth: np.ndarray, row: int, column: int, step: np.float32) -> bool:
    """Whether a pixel at least two pixels from the image's edges is between two surfaces along an axis."""
    z = depth[row, column]
    left, right = depth[row, column - 1], depth[row, column + 1]
    up, down = depth[row - 1, column], depth[row + 1, column]
    across = continues(z, left, depth[row, column - 2], step) or continues(z, right, depth[row, column + 2], step)
    along = continues(z, up, depth[row - 2, column], step) or continues(z, down, depth[row + 2, column], step)
    # Two missing neighbours say nothing.
    return (not across and (left > 0 or right > 0)) or (not along and (up > 0 or down > 0))
