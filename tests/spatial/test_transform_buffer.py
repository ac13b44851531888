# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Lookups of transforms at a time."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.spatial.rigid_transform import RigidTransform
from ciae_ros.spatial.transform_buffer import NoTransformError, TransformBuffer

SECOND = 10**9


def at(x: float, y: float = 0.0, degrees: float = 0.0) -> RigidTransform:
    """A frame that is displaced and turned about the vertical."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return RigidTransform(np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]), np.array([x, y, 0.0]))


@pytest.fixture
def buffer() -> TransformBuffer:
    """A robot that drives along x at 1 m/s for 4 s, with a camera and a lidar, and a map in which it is known."""
    buffer = TransformBuffer()
    buffer.add("map", "odom", 0, at(100), static=True)
    for stamp in range(5):
        buffer.add("odom", "base", stamp * SECOND, at(stamp))
    buffer.add("base", "camera", 0, at(0.5, degrees=90), static=True)
    buffer.add("/base", "/lidar", 0, at(0, 2), static=True)
    return buffer


def test_a_transform_is_interpolated_at_the_time(buffer: TransformBuffer) -> None:
    found = buffer.lookup("map", "base", 3 * SECOND // 2)
    np.testing.assert_allclose(found.translation, [101.5, 0, 0])
    exact = buffer.lookup("odom", "base", 2 * SECOND)
    np.testing.assert_allclose(exact.translation, [2, 0, 0])


def test_frames_are_connected_through_a_common_ancestor(buffer: TransformBuffer) -> None:
    found = buffer.lookup("camera", "lidar", SECOND)
    # The lidar is 2 m to the left of the base, and the camera 0.5 m ahead, looking to the left.
    np.testing.assert_allclose(found.apply(np.zeros(3)), [2, 0.5, 0], atol=1e-12)
    back = buffer.lookup("lidar", "camera", SECOND)
    assert (back @ found).is_identity


def test_a_frame_has_the_identity_to_itself_even_if_it_is_unknown(buffer: TransformBuffer) -> None:
    assert buffer.lookup("unknown", "/unknown", 0).is_identity


def test_two_times_are_connected_through_the_fixed_frame(buffer: TransformBuffer) -> None:
    found = buffer.lookup_through("base", 3 * SECOND, "base", SECOND, "odom")
    np.testing.assert_allclose(found.translation, [-2, 0, 0])


def test_nothing_is_extrapolated(buffer: TransformBuffer) -> None:
    with pytest.raises(NoTransformError, match=r"'base' to 'odom' is known only until 0\.500 s before") as late:
        buffer.lookup("map", "base", 9 * SECOND // 2)
    assert late.value.may_arrive
    with pytest.raises(NoTransformError, match=r"known only from 1\.000 s after") as early:
        buffer.lookup("map", "base", -SECOND)
    assert not early.value.may_arrive


def test_unconnected_frames_are_named(buffer: TransformBuffer) -> None:
    with pytest.raises(NoTransformError, match="'map' and 'arm' are not connected"):
        buffer.lookup("map", "arm", 0)


def test_a_loop_of_frames_is_an_error_and_not_endless(buffer: TransformBuffer) -> None:
    buffer.add("camera", "map", 0, at(0), static=True)
    with pytest.raises(NoTransformError, match="its own ancestor"):
        buffer.lookup("arm", "base", SECOND)


def test_old_transforms_are_forgotten_and_late_ones_are_sorted_in() -> None:
    buffer = TransformBuffer(history=10)
    for stamp in (0, 12, 11, 13, 11):
        buffer.add("odom", "base", stamp * SECOND, at(stamp))
    np.testing.assert_allclose(buffer.lookup("odom", "base", 23 * SECOND // 2).translation, [11.5, 0, 0])
    with pytest.raises(NoTransformError, match="known only from"):
        buffer.lookup("odom", "base", SECOND)


def test_clearing_keeps_static_transforms(buffer: TransformBuffer) -> None:
    buffer.clear()
    assert buffer.lookup("base", "camera", SECOND)
    with pytest.raises(NoTransformError, match="not connected"):
        buffer.lookup("odom", "base", SECOND)


def test_a_frame_may_get_another_parent(buffer: TransformBuffer) -> None:
    buffer.add("trailer", "lidar", 0, at(7), static=True)
    np.testing.assert_allclose(buffer.lookup("trailer", "lidar", 0).translation, [7, 0, 0])


@pytest.mark.parametrize(("parent", "child"), [("", "a"), ("a", ""), ("a", "/a")])
def test_impossible_frames_are_refused(parent: str, child: str) -> None:
    with pytest.raises(ValueError, match="is impossible"):
        TransformBuffer().add(parent, child, 0, at(0))
