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

"""A scaled calibration projects a point to where the resized image shows it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from ciae_ros.node.camera_calibration import scaled_camera_info

K = np.array([[700.0, 0, 320.0], [0, 710.0, 250.0], [0, 0, 1]])
D = [0.1, -0.05, 0.001, 0.002, 0.0]


def info(height: int = 480, width: int = 640) -> CameraInfo:
    message = CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=D)
    message.k = K.ravel().tolist()
    message.p = np.hstack((K, [[-70.0], [0.0], [0.0]])).ravel().tolist()
    message.roi.width, message.roi.height = 640, 480
    return message


@pytest.mark.parametrize("size", [(240, 320), (128, 171), (480, 640), (960, 1280)])
def test_points_project_to_the_resized_pixel(size: tuple[int, int]) -> None:
    height, width = size
    scaled = scaled_camera_info(info(), Header(frame_id="front"), height, width)
    points = np.random.default_rng(0).uniform((-1, -1, 3), (1, 1, 6), (20, 3))
    zero = np.zeros(3)
    before, _ = cv2.projectPoints(points, zero, zero, K, np.array(D))
    after, _ = cv2.projectPoints(points, zero, zero, np.array(scaled.k).reshape(3, 3), np.array(scaled.d))
    scale = np.array([width / 640, height / 480])
    # Pixels cover [i - 1/2, i + 1/2): resizing scales the distances from the image's corner at (-1/2, -1/2).
    np.testing.assert_allclose(after[:, 0] + 0.5, scale * (before[:, 0] + 0.5), atol=1e-9)
    assert (scaled.height, scaled.width, scaled.header.frame_id) == (height, width, "front")
    assert (scaled.roi.width, scaled.roi.height) == (width, height)


def test_the_baseline_of_a_stereo_camera_is_scaled_with_the_focal_length() -> None:
    scaled = scaled_camera_info(info(), Header(), 240, 320)
    p = np.array(scaled.p).reshape(3, 4)
    assert p[0, 3] / p[0, 0] == pytest.approx(-70.0 / 700.0)


def test_a_camera_without_calibration_stays_without() -> None:
    scaled = scaled_camera_info(CameraInfo(), Header(), 240, 320)
    assert not any(scaled.k)
    assert (scaled.height, scaled.width) == (240, 320)
