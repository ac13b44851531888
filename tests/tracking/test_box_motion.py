# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The filter of boxes: prediction, correction, and the motion of the camera."""

from __future__ import annotations

import numpy as np

from ciae_ros.tracking.box_motion import BoxMotion


def followed(boxes: np.ndarray, seconds: float) -> BoxMotion:
    """Return the filter after these boxes (frames, 4) of one track."""
    motion = BoxMotion()
    motion.append(boxes[:1])
    for box in boxes[1:]:
        motion.predict(seconds)
        motion.update(np.array([0]), box[None])
    return motion


def moving(x_speed: float, growth: float, frames: int, seconds: float) -> np.ndarray:
    time = seconds * np.arange(frames)[:, None]
    return np.array([100.0, 50, 40, 20]) + time * np.array([x_speed, 0, growth, growth])


def test_a_box_is_predicted_where_constant_velocity_takes_it() -> None:
    boxes = moving(x_speed=60, growth=5, frames=12, seconds=0.1)
    motion = followed(boxes[:-1], 0.1)
    motion.predict(0.1)
    np.testing.assert_allclose(motion.boxes[0], boxes[-1], atol=1.0)


def test_a_gap_is_bridged_and_makes_the_position_uncertain() -> None:
    boxes = moving(x_speed=60, growth=0, frames=31, seconds=0.1)
    motion = followed(boxes[:11], 0.1)
    deviations = []
    for _ in range(20):
        motion.predict(0.1)
        deviations.append(motion.position_deviation[0, 0])
    assert abs(motion.boxes[0, 0] - boxes[-1, 0]) < 10
    assert np.all(np.diff(deviations) > 0)


def test_a_held_size_does_not_change() -> None:
    motion = followed(moving(x_speed=0, growth=-15, frames=11, seconds=0.1), 0.1)
    size = motion.boxes[0, 2:]
    motion.hold_size(1)
    motion.predict(2.0)
    np.testing.assert_allclose(motion.boxes[0, 2:], size)


def test_boxes_never_lose_their_size() -> None:
    motion = followed(moving(x_speed=0, growth=-19, frames=11, seconds=0.1), 0.1)
    motion.predict(10.0)
    assert motion.boxes[0, 2:].min() >= 1


def test_the_filter_does_not_depend_on_the_scale_of_the_image() -> None:
    boxes = moving(x_speed=60, growth=5, frames=6, seconds=0.1)
    small, large = followed(boxes, 0.1), followed(4 * boxes, 0.1)
    np.testing.assert_allclose(4 * small.boxes, large.boxes)
    np.testing.assert_allclose(4 * small.position_deviation, large.position_deviation)


def test_the_motion_of_the_camera_moves_boxes_and_their_velocities() -> None:
    motion = followed(moving(x_speed=60, growth=0, frames=20, seconds=0.1), 0.1)
    x, y, width, height = motion.boxes[0]
    quarter_turn_twice_as_large = np.array([[0.0, -2, 10], [2, 0, 20]])
    motion.compensate(quarter_turn_twice_as_large)
    center = x + width / 2, y + height / 2
    found = motion.boxes[0]
    np.testing.assert_allclose(found[2:], (2 * width, 2 * height))
    np.testing.assert_allclose(found[:2] + found[2:] / 2, (10 - 2 * center[1], 20 + 2 * center[0]))
    motion.predict(0.1)
    np.testing.assert_allclose(motion.boxes[0, 1] - found[1], 12, atol=1)


def test_tracks_are_selected_and_corrected_one_by_one() -> None:
    motion = BoxMotion()
    motion.append(np.array([[0.0, 0, 10, 10], [100, 0, 10, 10], [200, 0, 10, 10]]))
    motion.select(np.array([2, 0]))
    np.testing.assert_allclose(motion.boxes[:, 0], [200, 0])
    motion.predict(0.1)
    motion.update(np.array([1]), np.array([[3.0, 0, 10, 10]]))
    assert motion.boxes[0, 0] == 200
    assert 2 < motion.boxes[1, 0] <= 3
