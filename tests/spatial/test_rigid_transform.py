# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Rigid transforms, against SciPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ciae_ros.spatial.rigid_transform import RigidTransform, interpolate, quaternion_of, rotation_matrix

scipy_transform = pytest.importorskip("scipy.spatial.transform", reason="needs SciPy, of requirements-models.txt")
ROTATIONS = scipy_transform.Rotation.random(50, random_state=1)
HALF_TURNS = scipy_transform.Rotation.from_rotvec(np.pi * np.eye(3))


def test_rotations_equal_those_of_scipy() -> None:
    for rotation in (*ROTATIONS, *HALF_TURNS):
        quaternion = rotation.as_quat(canonical=True)
        np.testing.assert_allclose(rotation_matrix(quaternion), rotation.as_matrix(), atol=1e-12)
        found = quaternion_of(rotation.as_matrix())
        assert abs(found @ quaternion) == pytest.approx(1, abs=1e-12)
        assert found[3] >= 0


def test_interpolation_equals_that_of_scipy() -> None:
    for first, second in pairwise(ROTATIONS):
        slerp = scipy_transform.Slerp([0, 1], scipy_transform.Rotation.concatenate([first, second]))
        start = RigidTransform(first.as_matrix(), np.zeros(3))
        end = RigidTransform(second.as_matrix(), np.array([1.0, 2.0, 4.0]))
        for share in (0.0, 0.3, 1.0):
            found = interpolate(start, end, share)
            np.testing.assert_allclose(found.rotation, slerp(share).as_matrix(), atol=1e-9)
            np.testing.assert_allclose(found.translation, share * end.translation)


def test_transforms_are_composed_and_inverted() -> None:
    first = RigidTransform(ROTATIONS[0].as_matrix(), np.array([1.0, -2.0, 0.5]))
    second = RigidTransform(ROTATIONS[1].as_matrix(), np.array([0.0, 3.0, 1.0]))
    points = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose((second @ first).apply(points), second.apply(first.apply(points)))
    np.testing.assert_allclose(first.inverse().apply(first.apply(points)), points)
    assert (first @ first.inverse()).is_identity
    assert not first.is_identity


@pytest.mark.parametrize(
    ("quaternion", "translation"),
    [((0, 0, 0, 0), (0, 0, 0)), ((0, 0, 0, float("nan")), (0, 0, 0)), ((0, 0, 0, 1), (0, float("inf"), 0))],
)
def test_impossible_transforms_are_refused(quaternion: tuple[float, ...], translation: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="not a rotation and a translation"):
        RigidTransform.from_quaternion(quaternion, translation)
