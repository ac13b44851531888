# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The geometry of a calibrated camera: rays of its pixels, and pixels of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np

FISHEYE = ("equidistant", "fisheye")
"""Distortion models of OpenCV's fisheye camera."""
PINHOLE = ("plumb_bob", "rational_polynomial", "")
"""Distortion models of OpenCV's pinhole camera, which may have any of its 4 to 14 coefficients."""
ITERATIONS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-4)
"""Most iterations of the inversion of a distortion, and its accuracy in pixels."""
SIZE_TOLERANCE = 0.01
"""Largest relative difference between the aspect ratios of an image and of its calibration."""


class UnusableCalibrationError(Exception):
    """A calibration that does not describe the camera of an image."""


class RegionOfInterest(Protocol):
    """The fields of sensor_msgs/RegionOfInterest."""

    x_offset: int
    y_offset: int
    height: int
    width: int


class CalibrationMessage(Protocol):
    """The fields of sensor_msgs/CameraInfo."""

    height: int
    width: int
    distortion_model: str
    d: Any
    k: Any
    p: Any
    binning_x: int
    binning_y: int
    roi: Any


@dataclass(frozen=True)
class CameraModel:
    """A camera whose optical axis is z, with x to the right and y down, in metres."""

    height: int
    """Of its images, in pixels."""
    width: int
    matrix: np.ndarray
    """(3, 3) float64: intrinsics in pixels; the centre of pixel (0, 0) is at (0, 0)."""
    distortion: np.ndarray
    """(n,) float64: coefficients in OpenCV's order; none for an undistorted image."""
    is_fisheye: bool = False

    @cached_property
    def rays(self) -> np.ndarray:
        """x / z and y / z of the pixels, (H, W, 2) float32."""
        columns, rows = np.arange(self.width), np.arange(self.height)
        if not self.distortion.size:
            rays = np.empty((self.height, self.width, 2), np.float32)
            rays[..., 0] = (columns - self.matrix[0, 2]) / self.matrix[0, 0]
            rays[..., 1] = ((rows - self.matrix[1, 2]) / self.matrix[1, 1])[:, None]
            return rays
        pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 1, 2).astype(np.float64)
        if self.is_fisheye:
            undistorted = cv2.fisheye.undistortPoints(pixels, self.matrix, self.distortion)
        else:
            undistorted = cv2.undistortPointsIter(
                pixels, self.matrix, self.distortion, np.eye(3), np.eye(3), ITERATIONS
            )
        return undistorted.reshape(self.height, self.width, 2).astype(np.float32)

    @cached_property
    def has_ray(self) -> np.ndarray:
        """Which pixels (H, W) have a ray: at the corners of a distorted image there may be none, as in a fisheye's."""
        rays = self.rays.reshape(-1, 2)
        pixels = self._distort(np.concatenate([rays, np.ones((len(rays), 1), np.float32)], axis=1))
        rows, columns = np.indices((self.height, self.width)).reshape(2, -1)
        return (np.hypot(*(pixels - np.stack([columns, rows], axis=1)).T) < 1).reshape(self.height, self.width)

    @cached_property
    def _ray_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest x / z and y / z that appear in the image, each (2,)."""
        rays = self.rays[self.has_ray]
        low, high = rays.min(axis=0), rays.max(axis=0)
        pixel = (high - low) / (self.width, self.height)
        return low - pixel, high + pixel

    def with_rays_only(self, depth: np.ndarray) -> np.ndarray:
        """Return a depth image (H, W) float32 with 0 at pixels without a ray."""
        return np.where(self.has_ray, depth, np.float32(0)) if self.distortion.size else depth

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return x and y, (N, 2) float32, of the pixels that points (N, 3) with positive z appear at.

        A point outside of the field of view of a distorted image becomes NaN: there the polynomials of distortion turn
        back, so that it would appear within the image.
        """
        if not self.distortion.size:
            matrix = self.matrix.astype(points.dtype)
            return points[:, :2] / points[:, 2:] * matrix.diagonal()[:2] + matrix[:2, 2]
        pixels = self._distort(points)
        low, high = self._ray_limits
        rays = points[:, :2] / points[:, 2:]
        pixels[~((rays >= low) & (rays <= high)).all(axis=1)] = np.nan
        return pixels

    def _distort(self, points: np.ndarray) -> np.ndarray:
        """Project points (N, 3) into the distorted image, also those outside of its field of view."""
        zero, one_by_one = np.zeros(3), points.reshape(-1, 1, 3).astype(np.float64)
        project = cv2.fisheye.projectPoints if self.is_fisheye else cv2.projectPoints
        return project(one_by_one, zero, zero, self.matrix, self.distortion)[0].reshape(-1, 2).astype(np.float32)

    def is_similar(self, other: CameraModel) -> bool:
        """Whether the other camera has the same rays for the same pixels, to within a tenth of a pixel."""
        return (
            (self.height, self.width, self.is_fisheye) == (other.height, other.width, other.is_fisheye)
            and np.array_equal(self.distortion, other.distortion)
            and np.allclose(self.matrix, other.matrix, rtol=0, atol=0.1)
        )


def camera_model(info: CalibrationMessage, height: int, width: int, rectified: bool) -> CameraModel:
    """Return the camera of an image of a size, from the calibration of its sensor.

    `CameraInfo` refers to the full sensor; region of interest and binning are applied as in `image_geometry`, and a
    resized image of the same aspect ratio gets resized intrinsics.

    Args:
        info: calibration.
        height: height of the image in pixels.
        width: its width.
        rectified: whether the image is rectified, so that the projection P applies, and no distortion.

    Raises:
        UnusableCalibrationError: the camera is not calibrated, its distortion model is unknown, or the sizes differ.
    """
    matrix = list(info.p) if rectified else list(info.k)
    columns = 4 if rectified else 3
    if not matrix or not matrix[0] > 0 or not matrix[columns + 1] > 0:
        field = "P" if rectified else "K"
        raise UnusableCalibrationError(f"the camera is not calibrated: {field} of its CameraInfo has no focal length")
    distortion = np.zeros(0) if rectified else np.trim_zeros(np.array(info.d, np.float64), "b")
    if len(distortion) and info.distortion_model not in (*FISHEYE, *PINHOLE):
        raise UnusableCalibrationError(f"the distortion model {info.distortion_model!r} is not supported: rectify")
    read_height, read_width = _image_size(info)
    if not read_height or not read_width:
        read_height, read_width = height, width
    scale = width / read_width, height / read_height
    if abs(scale[0] / scale[1] - 1) > SIZE_TOLERANCE:
        raise UnusableCalibrationError(
            f"the image has {width} x {height} pixels, and its CameraInfo describes {read_width} x {read_height}"
        )
    projection = image_projection(matrix, columns, info)
    if scale != (1.0, 1.0):
        projection = resized_projection(projection, columns, *scale)
    full = np.array(projection).reshape(3, columns)[:, :3]
    if len(distortion):
        # OpenCV takes 4, 5, 8, 12 or 14 coefficients.
        counts = (4,) if info.distortion_model in FISHEYE else (4, 5, 8, 12, 14)
        size = next((count for count in counts if count >= len(distortion)), None)
        if size is None:
            raise UnusableCalibrationError(f"{info.distortion_model} has no {len(distortion)} coefficients")
        distortion = np.pad(distortion, (0, size - len(distortion)))
    return CameraModel(height, width, full, distortion, info.distortion_model in FISHEYE)


def image_projection(matrix: Sequence[float], columns: int, info: CalibrationMessage) -> list[float]:
    """Convert a 3 x `columns` projection from sensor to image pixels, as `image_geometry` does."""
    result = list(matrix)
    if any(matrix):
        result[2] -= info.roi.x_offset
        result[columns + 2] -= info.roi.y_offset
    for row, binning in ((0, info.binning_x), (1, info.binning_y)):
        if binning > 1:
            start = row * columns
            result[start : start + columns] = [value / binning for value in result[start : start + columns]]
    return result


def resized_projection(matrix: Sequence[float], columns: int, x: float, y: float) -> list[float]:
    """Scale a 3 x `columns` projection by x and y; a matrix of zeros means that the camera is not calibrated.

    The centre of pixel (0, 0) is at (0, 0), as in OpenCV and ROS: resizing maps u + 1/2 to s * (u + 1/2), so a
    principal point c becomes s * (c + 1/2) - 1/2. Distortion and rectification do not depend on the size.
    """
    if not any(matrix):
        return list(matrix)
    rows = [matrix[start : start + columns] for start in range(0, 3 * columns, columns)]
    rows[0] = [x * value + (x - 1) / 2 * third for value, third in zip(rows[0], rows[2], strict=True)]
    rows[1] = [y * value + (y - 1) / 2 * third for value, third in zip(rows[1], rows[2], strict=True)]
    return [value for row in rows for value in row]


def _image_size(info: CalibrationMessage) -> tuple[int, int]:
    """Return height and width of the images that a sensor yields with its region of interest and binning."""
    height, width = info.roi.height or info.height, info.roi.width or info.width
    return height // max(info.binning_y, 1), width // max(info.binning_x, 1)
