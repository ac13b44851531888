# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A street in which people cross behind cars and each other, seen from a camera that turns quickly: for tracking."""

from __future__ import annotations

import numpy as np

from ciae_ros.spatial.rigid_transform import RigidTransform
from tests.rendering.drive import CAMERA_HEIGHT, CAR, PERSON, MovingObject, pose_of

SPEED = 2.0
"""Of the camera, in m/s."""

_COLORS = ((0.8, 0.2, 0.2), (0.2, 0.5, 0.8), (0.9, 0.7, 0.2), (0.3, 0.7, 0.3), (0.6, 0.3, 0.7), (0.9, 0.5, 0.4))
_CARS = (
    # Driving, and parked at the side.
    *(((14.0 + 7 * number, (-2.4, 2.6)[number % 2]), (4.0, -2.5)[number % 2]) for number in range(4)),
    *(((12.0 + 9 * number, -4.6), 0.001) for number in range(3)),
)
_PEOPLE = (
    ((9.0, -4.1), (1.2, 0.7)),
    ((12.2, 4.6), (0.4, -0.8)),
    ((15.4, -5.2), (1.7, 0.6)),
    ((18.6, 5.7), (1.0, -1.1)),
    ((21.8, -4.5), (-0.6, 0.9)),
    ((25.0, 4.3), (1.4, -0.7)),
    ((28.2, -5.6), (-1.0, 1.0)),
    ((31.4, 5.0), (-0.8, -0.6)),
    ((34.6, -4.9), (0.5, 0.8)),
)
CROSSING = (
    *(
        MovingObject(CAR, start, (speed, 0.0), _COLORS[number % len(_COLORS)])
        for number, (start, speed) in enumerate(_CARS)
    ),
    *(
        MovingObject(PERSON, start, velocity, _COLORS[number % len(_COLORS)])
        for number, (start, velocity) in enumerate(_PEOPLE)
    ),
)
"""Seven cars and nine people."""


def turning_camera(time: float) -> RigidTransform:
    """Return the pose of a camera that drives along x and turns by up to 29 degrees per second."""
    position = np.array([SPEED * time, 0.0, CAMERA_HEIGHT])
    return pose_of(position, 0.2 * np.sin(2.5 * time), 0.03 * np.sin(4.1 * time) + 0.04)
