# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Removal of unusable depth."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.spatial.depth_cleaning import DepthLimits, clean_depth

LIMITS = DepthLimits(nearest=0.5, farthest=10, flying_pixel_step=0.05)


def two_surfaces() -> np.ndarray:
    """A surface at 2 m in front of one at 4 m, with two mixed pixels per row between them."""
    depth = np.full((20, 20), 2, np.float32)
    depth[:, 8:] = (2.7, 3.4, *([4] * 10))
    return depth


def test_pixels_between_surfaces_are_removed_and_edges_stay() -> None:
    expected = two_surfaces()
    expected[2:-2, 8:10] = 0
    np.testing.assert_array_equal(clean_depth(two_surfaces(), LIMITS)[2:-2], expected[2:-2])
    turned = clean_depth(np.ascontiguousarray(two_surfaces().T), LIMITS)
    np.testing.assert_array_equal(turned[:, 2:-2], expected.T[:, 2:-2])


def test_flying_pixels_stay_if_wished() -> None:
    kept = clean_depth(two_surfaces(), DepthLimits(flying_pixel_step=0))
    np.testing.assert_array_equal(kept, two_surfaces())


def test_a_plane_at_a_grazing_angle_stays() -> None:
    # Successive pixels differ by up to 20 percent.
    inverse = np.linspace(1 / 9, 1, 20, dtype=np.float32)
    depth = np.repeat(1 / inverse[None], 20, axis=0)
    np.testing.assert_allclose(clean_depth(depth, LIMITS), depth)


@pytest.mark.parametrize("missing", [0, np.nan, np.inf, -1, 0.4, 11])
def test_missing_values_become_0_and_do_not_spread(missing: float) -> None:
    depth = np.full((9, 9), 3, np.float32)
    depth[4, ::2] = missing
    expected = np.where(depth == 3, depth, 0)
    np.testing.assert_array_equal(clean_depth(depth, LIMITS), expected)


def test_an_isolated_measurement_stays() -> None:
    depth = np.zeros((9, 9), np.float32)
    depth[4, 4] = 3
    np.testing.assert_array_equal(clean_depth(depth, LIMITS), depth)


def test_millimetres_become_metres() -> None:
    depth = np.full((5, 5), 1234, np.uint16)
    np.testing.assert_allclose(clean_depth(depth, LIMITS, metres=1e-3), 1.234, rtol=1e-6)
