# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The objects of a frame, measured in three dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ciae_ros.spatial.boxes import Alignment, Box, BoxSettings, measure_box
from ciae_ros.spatial.point_layout import LabelledSegment
from ciae_ros.spatial.rigid_transform import RigidTransform
from ciae_ros.spatial.segment_pixels import MaskTrimming, surface_points

CAMERA_UPRIGHT = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""Axes forwards, left and up, as columns, of a level camera in its optical frame."""


@dataclass(frozen=True)
class ObjectSettings:
    """How objects are measured."""

    boxes: BoxSettings = field(default_factory=BoxSettings)
    trimming: MaskTrimming = field(default_factory=MaskTrimming)


@dataclass(frozen=True)
class MeasuredObject:
    """An object with its box, in the coordinates of its points."""

    segment: LabelledSegment
    box: Box

    def transformed(self, transform: RigidTransform) -> MeasuredObject:
        """Return the same object in other coordinates."""
        box = Box(
            position=transform.apply(self.box.position),
            center=transform.apply(self.box.center),
            size=self.box.size,
            rotation=transform.rotation @ self.box.rotation,
            num_points=self.box.num_points,
        )
        return MeasuredObject(self.segment, box)


@dataclass(frozen=True)
class BoxAxes:
    """The axes that boxes are aligned with."""

    axes: np.ndarray
    """(3, 3), as columns, in the coordinates of the points."""
    oriented: bool
    """Whether each box is rotated about the third axis."""


def box_axes(alignment: Alignment, points_from_camera: np.ndarray, camera_from_gravity: np.ndarray | None) -> BoxAxes:
    """Return the axes of boxes.

    Args:
        alignment: what they are aligned with.
        points_from_camera: (3, 3) rotation of the camera's coordinates to those of the points.
        camera_from_gravity: (3, 3) rotation of the coordinates of a frame whose z axis is up to those of the camera;
            None: the camera is level.

    Raises:
        ValueError: gravity is unknown but needed.
    """
    if alignment == "camera":
        return BoxAxes(points_from_camera, False)
    if alignment == "gravity" and camera_from_gravity is None:
        raise ValueError("boxes that are aligned with gravity need the direction of gravity")
    upright = CAMERA_UPRIGHT if camera_from_gravity is None else camera_from_gravity
    return BoxAxes(points_from_camera @ upright, alignment == "oriented")


def measure_in_depth(
    labels: np.ndarray,
    depth: np.ndarray,
    rays: np.ndarray,
    segments: Iterable[LabelledSegment],
    axes: BoxAxes,
    settings: ObjectSettings,
) -> list[MeasuredObject]:
    """Measure the objects of a label image; those with too few measured pixels are left out.

    Args:
        labels: (H, W) uint16 ids of segments.
        depth: (H, W) float32 metres; 0 is no value.
        rays: (H, W, 2) float32 of the camera.
        segments: the segments of the image, of which things are objects.
        axes: of the boxes, in the camera's coordinates.
        settings: how they are measured.
    """
    found = []
    minimum = settings.boxes.min_points
    for segment in segments:
        if not segment.is_thing or segment.box[2] * segment.box[3] < minimum:
            continue
        surface = surface_points(labels, depth, rays, segment.id, segment.box, settings.trimming, minimum)
        if surface.num_pixels >= max(minimum, settings.boxes.min_share * surface.area):
            box = measure_box(surface.points, surface.num_pixels, axes.axes, axes.oriented, settings.boxes.tail)
            found.append(MeasuredObject(segment, box))
    return found


def measure_in_cloud(
    points: np.ndarray, ids: np.ndarray, segments: Iterable[LabelledSegment], axes: BoxAxes, settings: ObjectSettings
) -> list[MeasuredObject]:
    """Measure the objects of a labelled cloud; those with too few points are left out.

    Args:
        points: (N, 3) float32.
        ids: (N,) uint16 ids of their segments.
        segments: the segments, of which things are objects.
        axes: of the boxes, in the coordinates of the points.
        settings: how they are measured.
    """
    found = []
    for segment in segments:
        members = np.flatnonzero(ids == segment.id) if segment.is_thing else ()
        if len(members) >= max(settings.boxes.min_points, 1):
            every = -(-len(members) // settings.trimming.max_samples)
            box = measure_box(points[members[::every]], len(members), axes.axes, axes.oriented, settings.boxes.tail)
            found.append(MeasuredObject(segment, box))
    return found
