# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Camera calibration of label images."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

Size = tuple[int, int]
"""Height and width in pixels."""


def labels_camera_info(info: CameraInfo, header: Header, image: Size, labels: Size) -> CameraInfo:
    """Return the calibration of the label image, interpreted as in `image_geometry`.

    `CameraInfo` refers to the full sensor: k and p are in its pixels, the region of interest (roi) defines which of
    them were read out, and binning how many of them form one pixel of the image. Labels of the image's size get the
    calibration unchanged. For another size, region and binning are applied, and the result is the calibration of a
    sensor of the labels' size without them.

    Args:
        info: calibration of the camera.
        header: header of the image.
        image: size of the image.
        labels: size of the labels.
    """
    if labels == image:
        return CameraInfo(
            header=header,
            height=info.height,
            width=info.width,
            distortion_model=info.distortion_model,
            d=info.d,
            k=info.k,
            r=info.r,
            p=info.p,
            binning_x=info.binning_x,
            binning_y=info.binning_y,
            roi=info.roi,
        )
    scales = labels[1] / image[1], labels[0] / image[0]
    return CameraInfo(
        header=header,
        height=labels[0],
        width=labels[1],
        distortion_model=info.distortion_model,
        d=info.d,
        k=_resized(_image_projection(list(info.k), 3, info), 3, *scales),
        r=info.r,
        p=_resized(_image_projection(list(info.p), 4, info), 4, *scales),
        roi=RegionOfInterest(do_rectify=info.roi.do_rectify),
    )


def _image_projection(matrix: list[float], columns: int, info: CameraInfo) -> list[float]:
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


def _resized(matrix: list[float], columns: int, x: float, y: float) -> list[float]:
    """Scale a 3 x `columns` projection by x and y; a matrix of zeros means that the camera is not calibrated.

    The centre of pixel (0, 0) is at (0, 0), as in OpenCV and ROS: resizing maps u + 1/2 to s * (u + 1/2), so a
    principal point c becomes s * (c + 1/2) - 1/2. Distortion and rectification do not depend on the size.
    """
    if not any(matrix):
        return matrix
    rows = [matrix[start : start + columns] for start in range(0, 3 * columns, columns)]
    rows[0] = [x * value + (x - 1) / 2 * third for value, third in zip(rows[0], rows[2], strict=True)]
    rows[1] = [y * value + (y - 1) / 2 * third for value, third in zip(rows[1], rows[2], strict=True)]
    return [value for row in rows for value in row]
