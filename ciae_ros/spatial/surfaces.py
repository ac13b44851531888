# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Which neighbouring pixels of a depth image are on the same surface."""

from __future__ import annotations

import numpy as np

from ciae_ros.core.compiled import inlined

SLOPE_TOLERANCE = 0.3
"""Relative difference between successive steps in inverse depth up to which a steep surface continues."""


@inlined
def continues(z: np.float32, next_z: np.float32, second_z: np.float32, step: np.float32) -> bool:
    """Return whether a pixel continues the surface of the next two pixels in some direction; 0 is a missing depth.

    A small relative difference in depth is enough. A larger one must be as large as the difference before it in
    inverse depth, which is linear in the pixels of a plane: a plane that is seen at a grazing angle is one surface.
    """
    if not (z > 0 and next_z > 0):
        return False
    if abs(next_z - z) <= step * z:
        return True
    if not second_z > 0:
        return False
    before = 1 / next_z - 1 / second_z
    return bool(abs(1 / z - 1 / next_z - before) <= SLOPE_TOLERANCE * abs(before))
