# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Boxes around the points of objects, by statistics that outliers do not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

Alignment = Literal["camera", "gravity", "oriented"]
"""Axes of the boxes: those of the camera; those of a frame whose z axis is up; or the vertical and the horizontal ones
along which the object has the smallest ground area."""
ALIGNMENTS = get_args(Alignment)


@dataclass(frozen=True)
class BoxSettings:
    """When and how an object gets a box."""

    min_points: int = 30
    """Smallest number of measured points of an object."""
    min_share: float = 0.1
    """Smallest share of an object's pixels that are measured and on its surface."""
    tail: float = 0.002
    """Share of the points that may be outside at each side."""


@dataclass(frozen=True)
class Box:
    """A box around an object."""

    position: np.ndarray
    """(3,) median of the points along each axis of the box, in metres. It lies on the side that the sensor sees."""
    center: np.ndarray
    """(3,) centre of the box."""
    size: np.ndarray
    """(3,) extents along its axes, in metres."""
    rotation: np.ndarray
    """(3, 3): the axes of the box, as columns."""
    num_points: int
    """Number of pixels or points that it was measured by."""


def measure_box(points: np.ndarray, num_points: int, axes: np.ndarray, oriented: bool, tail: float) -> Box:
    """Measure the box of an object.

    Args:
        points: (n, 3) on its surface, n > 0, in any coordinates.
        num_points: number of points that these stand for.
        axes: (3, 3) axes of the box, as columns, in the same coordinates.
        oriented: rotate the first two axes about the third so that the rectangle that they span is the smallest.
        tail: share of the points that may be outside at each side.
    """
    axes = axes.astype(np.float32)
    aligned = points @ axes
    if oriented:
        axes = axes @ _smallest_rectangle(aligned, tail)
        aligned = points @ axes
    low, median, high = order_statistics(aligned, tail)
    return Box(
        position=axes @ median,
        center=axes @ ((low + high) / 2),
        size=high - low,
        rotation=axes,
        num_points=num_points,
    )


def order_statistics(values: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return lower quantile, median and upper quantile of each column of (n, d) values, n > 0."""
    last = len(values) - 1
    places = [int(tail * last), last // 2, last - int(tail * last)]
    # NumPy sorts a row of memory faster than it finds three places in it.
    columns = np.ascontiguousarray(values.T)
    columns.sort(axis=1)
    low, median, high = columns[:, places].T
    return low, median, high


def _smallest_rectangle(points: np.ndarray, tail: float) -> np.ndarray:
    """Return the rotation (3, 3) about the third axis to the sides of the smallest rectangle around the points."""
    low, _, high = order_statistics(points, tail)
    inside = ((points >= low) & (points <= high)).all(axis=1)
    _, (width, height), degrees = cv2.minAreaRect(np.ascontiguousarray(points[inside, :2]))
    # The longer side is the first axis, so that equal objects have equal sizes.
    angle = np.deg2rad(degrees if width >= height else degrees + 90)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], np.float32)
