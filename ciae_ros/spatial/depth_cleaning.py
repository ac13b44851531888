# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Removal of unusable values from depth images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ciae_ros.core.compiled import compiled, compiled_with_nan
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
    for row in range(height):
        for column in range(width):
            z = depth[row, column]
            if z > 0 and 2 <= row < height - 2 and 2 <= column < width - 2:
                allowed = step * z
                left, right = depth[row, column - 1], depth[row, column + 1]
                up, down = depth[row - 1, column], depth[row + 1, column]
                # Most pixels are decided by this test.
                across = abs(left - z) <= allowed or abs(right - z) <= allowed
                along = abs(up - z) <= allowed or abs(down - z) <= allowed
                if not across and (left > 0 or right > 0):
                    across = continues(z, left, depth[row, column - 2], step) or continues(
                        z, right, depth[row, column + 2], step
                    )
                    z = z if across else np.float32(0)
                if not along and (up > 0 or down > 0):
                    along = continues(z, up, depth[row - 2, column], step) or continues(
                        z, down, depth[row + 2, column], step
                    )
                    z = z if along else np.float32(0)
            cleaned[row, column] = z
