# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Pictures of labelled points and boxes from any side."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import cv2
import numpy as np

from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.objects import MeasuredObject
from ciae_ros.spatial.rigid_transform import RigidTransform

EDGES = [(a, b) for a, b in product(range(8), repeat=2) if a < b and (a ^ b) in (1, 2, 4)]
"""Pairs of corners of a box, whose numbers have a bit for each axis."""
BACKGROUND = (250, 248, 245)


def look_at(eye: np.ndarray, target: np.ndarray) -> RigidTransform:
    """Return the transform of the world, whose z axis is up, to a camera at a place that looks at another one."""
    forwards = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forwards, [0, 0, 1])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forwards, right), forwards])
    return RigidTransform(rotation, -rotation @ eye)


def draw_points(
    points: np.ndarray, colors: np.ndarray, camera: CameraModel, camera_from_world: RigidTransform, size: int = 3
) -> np.ndarray:
    """Draw points as squares; nearer ones hide others.

    Args:
        points: (N, 3) in the world.
        colors: (N, 3) uint8 BGR.
        camera: camera of the picture.
        camera_from_world: its pose.
        size: side of a square in pixels.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    picture = np.full((camera.height, camera.width, 3), BACKGROUND, np.uint8)
    in_camera = camera_from_world.apply(points.astype(np.float64))
    ahead = in_camera[:, 2] > 0.1
    in_camera, colors = in_camera[ahead], colors[ahead]
    corners = np.rint(camera.project(in_camera)).astype(int) - size // 2
    # From far to near, so that the last one written to a pixel is the nearest.
    order = np.argsort(-in_camera[:, 2])
    for down, right in product(range(size), repeat=2):
        columns, rows = (corners[order] + (right, down)).T
        inside = (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
        picture[rows[inside], columns[inside]] = colors[order][inside]
    return picture


def draw_boxes(
    picture: np.ndarray, objects: Iterable[MeasuredObject], camera: CameraModel, camera_from_world: RigidTransform
) -> None:
    """Draw the edges and names of boxes, whose coordinates are those of the world, into a picture."""
    signs = np.array([[1 if corner >> axis & 1 else -1 for axis in range(3)] for corner in range(8)])
    for one in objects:
        corners = one.box.center + (signs * one.box.size / 2) @ one.box.rotation.T
        in_camera = camera_from_world.apply(corners.astype(np.float64))
        if in_camera[:, 2].min() < 0.1:
            continue
        pixels = [(int(x), int(y)) for x, y in np.rint(camera.project(in_camera))]
        for start, end in EDGES:
            cv2.line(picture, pixels[start], pixels[end], (20, 20, 20), 2, cv2.LINE_AA)
        left, top = min(x for x, _ in pixels), min(y for _, y in pixels)
        name = one.segment.category_name
        cv2.putText(picture, name, (left, top - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
