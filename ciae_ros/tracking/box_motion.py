# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Motion of boxes: a Kalman filter with constant velocity for the centre and the size of each box.

The four quantities of a box are filtered independently. All noise is proportional to the size of the box, so that the
filter behaves alike for near and far objects and for images of any size.
"""

from __future__ import annotations

import numpy as np

POSITION_NOISE = 0.05
"""Standard deviation of a measured centre or size, as a share of the mean side of the box."""
VELOCITY_NOISE = 1.0
"""Standard deviation by which the velocity changes within a second, in sides of the box per second."""
INITIAL_VELOCITY = 2.0
"""Standard deviation of the unknown velocity of a new box, in sides of the box per second."""
MIN_HIDDEN = 0.2
"""Share of the predicted side by which a measured one must be shorter to be regarded as partly hidden."""
MAX_IMBALANCE = 0.25
"""Share of what is missing of a side that may be missing at its visible end; an object that recedes loses half at both.
"""
MIN_SIDE = 1.0
"""Smallest predicted side in pixels."""


class BoxMotion:
    """The filtered boxes of N tracks. Boxes are x, y, width, height in pixels."""

    def __init__(self) -> None:
        """Start without tracks."""
        self._mean: np.ndarray = np.empty((0, 4))
        """(N, 4) centre x, centre y, width, height."""
        self._velocity: np.ndarray = np.empty((0, 4))
        """Their changes per second."""
        self._variance: np.ndarray = np.empty((3, 0, 4))
        """Variance of the mean, covariance of mean and velocity, variance of the velocity."""

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) float64 boxes, of positive size."""
        size = np.maximum(self._mean[:, 2:], MIN_SIDE)
        return np.concatenate((self._mean[:, :2] - size / 2, size), axis=1)

    @property
    def position_deviation(self) -> np.ndarray:
        """(N, 2) standard deviations of the centres in pixels."""
        return np.sqrt(self._variance[0, :, :2])

    def predict(self, seconds: float) -> None:
        """Move the boxes."""
        growth = (VELOCITY_NOISE * self._side()) ** 2
        position, covariance, velocity = self._variance
        self._mean += seconds * self._velocity
        self._variance = np.stack(
            (
                position + 2 * seconds * covariance + seconds**2 * velocity + growth * seconds**3 / 3,
                covariance + seconds * velocity + growth * seconds**2 / 2,
                velocity + growth * seconds,
            )
        )

    def compensate(self, transform: np.ndarray) -> None:
        """Apply the motion of the camera, a (2, 3) similarity transform of image positions."""
        linear = transform[:, :2]
        scale = np.sqrt(abs(np.linalg.det(linear)))
        self._mean = np.concatenate((self._mean[:, :2] @ linear.T + transform[:, 2], scale * self._mean[:, 2:]), axis=1)
        self._velocity = np.concatenate((self._velocity[:, :2] @ linear.T, scale * self._velocity[:, 2:]), axis=1)

    def hold_size(self, count: int) -> None:
        """Stop the change of size of the first tracks, which cannot be extrapolated while nothing is seen of them."""
        self._velocity[:count, 2:] = 0

    def update(self, tracks: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Correct the prediction of M tracks (indices) by their measured boxes (M, 4).

        Returns:
            (M, 4) the measured boxes with their hidden ends, see `complete`.
        """
        completed = complete(boxes, self.boxes[tracks])
        measured = _center_and_size(completed)
        noise = (POSITION_NOISE * measured[:, 2:].mean(axis=1, keepdims=True)) ** 2
        position, covariance, velocity = self._variance[:, tracks]
        gain, velocity_gain = position / (position + noise), covariance / (position + noise)
        error = measured - self._mean[tracks]
        self._mean[tracks] += gain * error
        self._velocity[tracks] += velocity_gain * error
        self._variance[:, tracks] = np.stack(
            ((1 - gain) * position, (1 - gain) * covariance, velocity - velocity_gain * covariance)
        )
        return completed

    def append(self, boxes: np.ndarray) -> None:
        """Add tracks with these measured boxes (M, 4), at the end."""
        mean = _center_and_size(boxes)
        side = np.broadcast_to(mean[:, 2:].mean(axis=1, keepdims=True), mean.shape)
        variance = np.stack(((POSITION_NOISE * side) ** 2, np.zeros_like(mean), (INITIAL_VELOCITY * side) ** 2))
        self._mean = np.concatenate((self._mean, mean))
        self._velocity = np.concatenate((self._velocity, np.zeros_like(mean)))
        self._variance = np.concatenate((self._variance, variance), axis=1)

    def select(self, tracks: np.ndarray) -> None:
        """Keep only these tracks (indices, whose order applies, or mask)."""
        self._mean, self._velocity = self._mean[tracks], self._velocity[tracks]
        self._variance = self._variance[:, tracks]

    def _side(self) -> np.ndarray:
        """(N, 1) mean side."""
        return np.maximum(self._mean[:, 2:].mean(axis=1, keepdims=True), MIN_SIDE)


def complete(boxes: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Complete boxes of objects of which others hide one end: that end is not where it was predicted, the other one is.

    Args:
        boxes: (M, 4) measured boxes.
        predicted: (M, 4) predicted boxes.

    Returns:
        (M, 4) boxes of which partly hidden sides have the predicted length.
    """
    start, side = boxes[:, :2], boxes[:, 2:]
    start_error = start - predicted[:, :2]
    missing = predicted[:, 2:] - side
    end_error = start_error - missing
    smaller = np.minimum(np.abs(start_error), np.abs(end_error))
    is_partial = (missing > MIN_HIDDEN * predicted[:, 2:]) & (smaller < MAX_IMBALANCE * missing)
    is_start_hidden = is_partial & (np.abs(start_error) > np.abs(end_error))
    completed_start = np.where(is_start_hidden, start - missing, start)
    return np.concatenate((completed_start, np.where(is_partial, predicted[:, 2:], side)), axis=1)


def _center_and_size(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate((boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]), axis=1)
