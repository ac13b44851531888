# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Label images of rendered frames, and where their objects really are."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.objects import MeasuredObject
from ciae_ros.spatial.point_layout import LabelledSegment
from tests.rendering.drive import CATEGORIES, RenderedFrame
from tests.rendering.sensor import enlarged

MIN_PIXELS = 150
"""Number of visible pixels from which on an object is compared."""


@dataclass(frozen=True)
class LabelledFrame:
    """A frame as a perfect network, or one whose masks are too large, labels it."""

    labels: np.ndarray
    """(H, W) uint16 ids of segments."""
    segments: list[LabelledSegment]
    """Dense ids from 1, with the numbers of the objects as track ids."""


@dataclass(frozen=True)
class TrueObject:
    """What the camera sees of an object, in the coordinates of the world."""

    number: int
    position: np.ndarray
    """(3,) median of its visible surface along each axis."""
    size: np.ndarray
    """(3,) extents of its visible surface."""
    distance: float
    """Median depth."""


@dataclass(frozen=True)
class ObjectErrors:
    """The errors of a measured object in metres."""

    number: int
    distance: float
    position: float
    extent: float
    """The largest of the three axes."""


def labelled_frame(frame: RenderedFrame, too_large: int = 0) -> LabelledFrame:
    """Label a frame.

    Args:
        frame: the frame with its masks.
        too_large: number of pixels by which the masks of the objects are dilated.
    """
    objects = enlarged(frame.objects, frame.depth, too_large) if too_large else frame.objects
    stuff = np.where(objects > 0, 0, frame.stuff)
    labels = np.zeros(objects.shape, np.uint16)
    segments: list[LabelledSegment] = []

    def add(mask: np.ndarray, category: Category, number: int) -> None:
        if mask.any():
            labels[mask] = len(segments) + 1
            red, green, blue = category.color
            box = tuple(cv2.boundingRect(mask.astype(np.uint8)))
            segments.append(
                LabelledSegment(
                    id=len(segments) + 1,
                    category_id=category.id,
                    category_name=category.name,
                    is_thing=category.is_thing,
                    score=0.9 if category.is_thing else 1.0,
                    box=box,
                    color=(blue, green, red),
                    track_id=number,
                )
            )

    for category in CATEGORIES:
        if not category.is_thing:
            add(stuff == category.id, category, 0)
    for number, one in enumerate(frame.moving, start=1):
        add(objects == number, one.category, number)
    return LabelledFrame(labels, segments)


def true_objects(frame: RenderedFrame, camera: CameraModel) -> dict[int, TrueObject]:
    """Return the objects that are visible enough, by number."""
    found = {}
    for number in range(1, len(frame.moving) + 1):
        mask = frame.objects == number
        if mask.sum() >= MIN_PIXELS:
            depth = frame.depth[mask].astype(np.float64)
            points = frame.camera.apply(np.concatenate([camera.rays[mask] * depth[:, None], depth[:, None]], axis=1))
            size = points.max(axis=0) - points.min(axis=0)
            found[number] = TrueObject(number, np.median(points, axis=0), size, float(np.median(depth)))
    return found


def errors_of(measured: MeasuredObject, truth: TrueObject) -> ObjectErrors:
    """Compare an object that was measured in the coordinates of the world."""
    position = float(np.linalg.norm(measured.box.position - truth.position))
    extent = float(np.abs(measured.box.size - truth.size).max())
    return ObjectErrors(truth.number, truth.distance, position, extent)
