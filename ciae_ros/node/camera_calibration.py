# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""A camera's calibration for an image of another size."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header


def scaled_camera_info(info: CameraInfo, header: Header, height: int, width: int) -> CameraInfo:
    """The calibration of the same view with height x width pixels, under an image's header.

    Pixel (0, 0) has its centre at (0, 0), as OpenCV and ROS have it: resizing maps u + 1/2 to s * (u + 1/2), so a
    principal point c becomes s * (c + 1/2) - 1/2. Distortion and rectification do not depend on the size.
    """
    scaled = CameraInfo(
        header=header,
        height=height,
        width=width,
        distortion_model=info.distortion_model,
        d=info.d,
        r=info.r,
        binning_x=info.binning_x,
        binning_y=info.binning_y,
    )
    # A camera that is not calibrated may leave even its size out.
    x = width / info.width if info.width else 1.0
    y = height / info.height if info.height else 1.0
    scaled.k = _scaled(list(info.k), 3, x, y)
    scaled.p = _scaled(list(info.p), 4, x, y)
    scaled.roi = RegionOfInterest(
        x_offset=round(info.roi.x_offset * x),
        y_offset=round(info.roi.y_offset * y),
        width=round(info.roi.width * x),
        height=round(info.roi.height * y),
        do_rectify=info.roi.do_rectify,
    )
    return scaled


def _scaled(matrix: list[float], columns: int, x: float, y: float) -> list[float]:
    """A 3 x `columns` projection for pixels scaled by x and y; zeros mean that the camera is not calibrated."""
    if not any(matrix):
        return matrix
    rows = [matrix[start : start + columns] for start in range(0, 3 * columns, columns)]
    rows[0] = [x * value + (x - 1) / 2 * third for value, third in zip(rows[0], rows[2], strict=True)]
    rows[1] = [y * value + (y - 1) / 2 * third for value, third in zip(rows[1], rows[2], strict=True)]
    return [value for row in rows for value in row]
