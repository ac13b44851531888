# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Rigid transforms between coordinate frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class RigidTransform:
    """The transform of coordinates in a source frame to those in a target frame: rotation @ point + translation."""

    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    """(3, 3) float64."""
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """(3,) float64, in metres."""

    @classmethod
    def from_quaternion(cls, quaternion: Sequence[float], translation: Sequence[float]) -> RigidTransform:
        """Create the transform from a quaternion x, y, z, w of any length and a translation in metres.

        Raises:
            ValueError: a number is not finite, or the quaternion is zero.
        """
        values = np.array([*quaternion, *translation], np.float64)
        length = np.linalg.norm(values[:4])
        if not np.isfinite(values).all() or length < 1e-6:
            raise ValueError(f"not a rotation and a translation: {list(quaternion)}, {list(translation)}")
        return cls(rotation_matrix(values[:4] / length), values[4:])

    def __matmul__(self, other: RigidTransform) -> RigidTransform:
        """Return the transform that applies `other` first."""
        return RigidTransform(self.rotation @ other.rotation, self.rotation @ other.translation + self.translation)

    def inverse(self) -> RigidTransform:
        """Return the transform from the target frame to the source frame."""
        return RigidTransform(self.rotation.T, -self.rotation.T @ self.translation)

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Transform points (..., 3)."""
        return points @ self.rotation.T.astype(points.dtype) + self.translation.astype(points.dtype)

    @property
    def is_identity(self) -> bool:
        """Whether points are moved by less than a tenth of a millimetre and a hundredth of a degree."""
        return bool(
            np.allclose(self.rotation, np.eye(3), rtol=0, atol=1.5e-4)
            and np.allclose(self.translation, 0, rtol=0, atol=1e-4)
        )


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) of a unit quaternion x, y, z, w."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """Return the unit quaternion x, y, z, w, with w >= 0, of a rotation (3, 3)."""
    # The largest eigenvector is the best-conditioned solution, for rotations by any angle.
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric = np.array(
        [
            [xx - yy - zz, 0, 0, 0],
            [yx + xy, yy - xx - zz, 0, 0],
            [zx + xz, zy + yz, zz - xx - yy, 0],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    quaternion = np.linalg.eigh(symmetric)[1][:, -1]
    return -quaternion if quaternion[3] < 0 else quaternion


def interpolate(first: RigidTransform, second: RigidTransform, share: float) -> RigidTransform:
    """Return the transform between two: at a constant angular and linear velocity, `share` (0 to 1) of the way."""
    start, end = quaternion_of(first.rotation), quaternion_of(second.rotation)
    if (cosine := float(start @ end)) < 0:
        end, cosine = -end, -cosine
    if cosine > 1 - 1e-9:
        mixed = (1 - share) * start + share * end
    else:
        angle = np.arccos(min(cosine, 1.0))
        mixed = (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)
    translation = (1 - share) * first.translation + share * second.translation
    return RigidTransform(rotation_matrix(mixed / np.linalg.norm(mixed)), translation)
