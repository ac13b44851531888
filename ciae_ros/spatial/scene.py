# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A labelled frame in three dimensions: from labels and depth, or lidar points, to points and objects."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ciae_ros.spatial.boxes import Alignment
from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.depth_cleaning import DepthLimits, clean_depth
from ciae_ros.spatial.depth_points import label_depth_points
from ciae_ros.spatial.depth_registration import register_depth
from ciae_ros.spatial.lidar_labels import label_lidar_points, write_lidar_points
from ciae_ros.spatial.objects import (
    MeasuredObject,
    ObjectSettings,
    box_axes,
    measure_in_cloud,
    measure_in_depth,
)
from ciae_ros.spatial.point_layout import LabelledSegment, segment_words
from ciae_ros.spatial.point_memory import PointMemory
from ciae_ros.spatial.rigid_transform import RigidTransform


@dataclass(frozen=True)
class LabelledImage:
    """What a camera sees."""

    labels: np.ndarray
    """(H, W) uint16 ids of segments."""
    segments: Sequence[LabelledSegment]
    camera: CameraModel
    colors: np.ndarray | None = None
    """(h, w, 3) uint8 BGR image of any size, which colours the points; None: points have the colours of segments."""


@dataclass(frozen=True)
class DepthView:
    """A depth image."""

    values: np.ndarray
    """(h, w) uint16 or float32."""
    metres: float
    """Length of their unit."""
    camera: CameraModel
    camera_from_depth: RigidTransform
    """Transform of its coordinates to those of the camera of the labels."""


@dataclass(frozen=True)
class LidarView:
    """The points of a lidar."""

    points: np.ndarray
    """(h * w, 3) float32 in its coordinates; NaN is no point."""
    shape: tuple[int, int]
    """h and w."""
    camera_from_lidar: RigidTransform


@dataclass(frozen=True)
class SceneSettings:
    """What is made of a frame, and how."""

    limits: DepthLimits
    objects: ObjectSettings
    alignment: Alignment = "camera"
    organised: bool = False
    """Points form an image, or the rows of the lidar's cloud."""
    stride: int = 1
    """Use each `stride`-th row and column of a depth image for points."""
    unlabelled: bool = True
    """Points without a segment, too."""
    packed_label: bool = False


@dataclass(frozen=True)
class SceneTimes:
    """Seconds for the parts of a scene."""

    depth: float
    """Cleaning and registration of depth, or labelling of lidar points."""
    points: float
    boxes: float


@dataclass(frozen=True)
class Scene:
    """Labelled points and objects."""

    points: np.ndarray | None
    """(h * w, words) float32 in the layout of `point_fields`; None if they were not wanted. The memory is used again
    for the next frame."""
    data: array[int]
    """The bytes of the points."""
    shape: tuple[int, int]
    """h and w of the points; h is 1 unless they are organised."""
    objects: list[MeasuredObject]
    times: SceneTimes


class SceneBuilder:
    """Builds the scenes of a stream of frames. Keeps memory from one frame for the next."""

    def __init__(self) -> None:
        self._memory = PointMemory()

    def warm_up(self, settings: SceneSettings) -> None:
        """Compile everything, which would delay the first frame by seconds."""
        camera = CameraModel(16, 16, np.array([[16.0, 0, 7.5], [0, 16, 7.5], [0, 0, 1]]), np.zeros(0))
        segment = LabelledSegment(1, 1, "", True, 1.0, (0, 0, 16, 16), (0, 0, 0))
        image = LabelledImage(np.ones((16, 16), np.uint16), [segment], camera, np.zeros((16, 16, 3), np.uint8))
        known, beside = RigidTransform(), RigidTransform(translation=np.array([0.1, 0.0, 0.0]))
        for kind, metres in ((np.uint16, 1e-3), (np.float32, 1.0)):
            values = np.full((16, 16), 1 / metres, kind)
            self.build(image, DepthView(values, metres, camera, beside), known, known, settings)
        self.build(image, LidarView(np.ones((1, 3), np.float32), (1, 1), known), known, known, settings)

    def build(
        self,
        image: LabelledImage,
        view: DepthView | LidarView,
        result_from_camera: RigidTransform,
        camera_from_gravity: RigidTransform | None,
        settings: SceneSettings,
        with_points: bool = True,
    ) -> Scene:
        """Build a scene.

        Args:
            image: labels of the camera.
            view: what measures distances.
            result_from_camera: transform of the camera's coordinates to those of the result.
            camera_from_gravity: transform of the coordinates of a frame whose z axis is up, if it is known.
            settings: what is made of them.
            with_points: whether points are wanted; otherwise there are only objects.

        Raises:
            ValueError: boxes are to be aligned with gravity, which is not known.
        """
        build = self._from_depth if isinstance(view, DepthView) else self._from_lidar
        gravity = None if camera_from_gravity is None else camera_from_gravity.rotation
        return build(image, view, result_from_camera, gravity, settings, with_points)  # type: ignore[arg-type]

    def _from_depth(
        self,
        image: LabelledImage,
        view: DepthView,
        result_from_camera: RigidTransform,
        gravity: np.ndarray | None,
        settings: SceneSettings,
        with_points: bool,
    ) -> Scene:
        start = time.perf_counter()
        cleaned = view.camera.with_rays_only(clean_depth(view.values, settings.limits, view.metres))
        registered = register_depth(cleaned, view.camera, image.camera, view.camera_from_depth)
        depth = image.camera.with_rays_only(registered)
        cleaned_at = time.perf_counter()
        axes = box_axes(settings.alignment, np.eye(3), gravity)
        rays = image.camera.rays
        found = measure_in_depth(image.labels, depth, rays, image.segments, axes, settings.objects)
        objects = [one.transformed(result_from_camera) for one in found]
        measured_at = time.perf_counter()
        points, shape = None, (0, 0)
        if with_points:
            stride = settings.stride
            points = label_depth_points(
                depth,
                rays,
                image.labels,
                segment_words(image.segments, settings.packed_label),
                _colors_of(image),
                result_from_camera,
                settings.organised,
                stride,
                settings.unlabelled,
                self._memory,
            )
            shape = 1, len(points)
            if settings.organised:
                shape = -(-depth.shape[0] // stride), -(-depth.shape[1] // stride)
        end = time.perf_counter()
        times = SceneTimes(depth=cleaned_at - start, boxes=measured_at - cleaned_at, points=end - measured_at)
        return Scene(points, self._memory.data, shape, objects, times)

    def _from_lidar(
        self,
        image: LabelledImage,
        view: LidarView,
        result_from_camera: RigidTransform,
        gravity: np.ndarray | None,
        settings: SceneSettings,
        with_points: bool,
    ) -> Scene:
        start = time.perf_counter()
        table = segment_words(image.segments, settings.packed_label)
        is_thing = np.zeros(len(table), np.bool_)
        for segment in image.segments:
            is_thing[segment.id] = segment.is_thing
        found = label_lidar_points(view.points, view.camera_from_lidar, image.camera, image.labels, is_thing)
        labelled_at = time.perf_counter()
        axes = box_axes(settings.alignment, view.camera_from_lidar.rotation.T, gravity)
        result_from_lidar = result_from_camera @ view.camera_from_lidar
        measured = measure_in_cloud(view.points, found.ids, image.segments, axes, settings.objects)
        objects = [one.transformed(result_from_lidar) for one in measured]
        measured_at = time.perf_counter()
        points, shape = None, (0, 0)
        if with_points:
            wanted = found.visible & (settings.unlabelled | (found.ids > 0))
            chosen = np.arange(len(wanted)) if settings.organised else np.flatnonzero(wanted)
            coordinates = result_from_lidar.apply(view.points)
            points = write_lidar_points(coordinates, found, table, _colors_of(image), chosen, self._memory)
            shape = view.shape if settings.organised else (1, len(points))
        end = time.perf_counter()
        times = SceneTimes(depth=labelled_at - start, boxes=measured_at - labelled_at, points=end - measured_at)
        return Scene(points, self._memory.data, shape, objects, times)


def _colors_of(image: LabelledImage) -> np.ndarray | None:
    """Return the colours at the size of the labels."""
    if image.colors is None or image.colors.shape[:2] == image.labels.shape:
        return image.colors
    height, width = image.labels.shape
    return cv2.resize(image.colors, (width, height), interpolation=cv2.INTER_AREA)
