# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The calibration of labels, interpreted as by image_geometry, projects a point to its pixel in the labels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from ciae_ros.node.camera_calibration import labels_camera_info

K = np.array([[1000.0, 0, 640.0], [0, 1010.0, 370.0], [0, 0, 1]])
D = [0.1, -0.05, 0.001, 0.002, 0.0]
HEADER = Header(frame_id="front")
SENSOR = 720, 1280


def sensor(binning: tuple[int, int] = (0, 0), roi: tuple[int, int, int, int] = (0, 0, 0, 0)) -> CameraInfo:
    """The calibration of a camera with a region of interest and binning."""
    message = CameraInfo(height=SENSOR[0], width=SENSOR[1], distortion_model="plumb_bob", d=D)
    message.k = K.ravel().tolist()
    message.r = np.eye(3).ravel().tolist()
    message.p = np.hstack((K, [[-70.0], [0.0], [0.0]])).ravel().tolist()
    message.binning_x, message.binning_y = binning
    x, y, width, height = roi
    message.roi = RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height, do_rectify=True)
    return message


def as_image_geometry_reads(info: CameraInfo) -> tuple[np.ndarray, np.ndarray]:
    """k and p for the pixels of the image, as `PinholeCameraModel.fromCameraInfo` computes them (REP 104)."""
    k, p = np.array(info.k).reshape(3, 3), np.array(info.p).reshape(3, 4)
    for matrix in k, p:
        matrix[0, 2] -= info.roi.x_offset
        matrix[1, 2] -= info.roi.y_offset
        matrix[0] /= max(info.binning_x, 1)
        matrix[1] /= max(info.binning_y, 1)
    return k, p


CAMERAS = {
    "whole sensor": (sensor(), SENSOR),
    "2x2 binning": (sensor((2, 2)), (360, 640)),
    "region": (sensor(roi=(490, 260, 300, 200)), (200, 300)),
    "binned region": (sensor((2, 4), (100, 40, 800, 600)), (150, 400)),
}


@pytest.mark.parametrize("camera", CAMERAS)
def test_labels_of_the_images_size_have_the_message_as_it_came(camera: str) -> None:
    info, size = CAMERAS[camera]
    found = labels_camera_info(info, HEADER, size, size)
    info.header = HEADER
    assert found == info


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("labels", [(100, 150), (128, 171), (720, 1280)])
def test_points_project_to_the_pixel_of_the_resized_image(camera: str, labels: tuple[int, int]) -> None:
    info, size = CAMERAS[camera]
    k, p = as_image_geometry_reads(info)
    found = labels_camera_info(info, HEADER, size, labels)
    assert (found.height, found.width, found.header) == (*labels, HEADER)
    found_k, found_p = as_image_geometry_reads(found)
    points = np.random.default_rng(0).uniform((-1, -1, 3), (1, 1, 6), (20, 3))
    zero = np.zeros(3)
    before, _ = cv2.projectPoints(points, zero, zero, k, np.array(D))
    after, _ = cv2.projectPoints(points, zero, zero, found_k, np.array(found.d))
    scale = np.array([labels[1] / size[1], labels[0] / size[0]])
    # Pixels cover [i - 1/2, i + 1/2): resizing scales the distances from the image's corner at (-1/2, -1/2).
    np.testing.assert_allclose(after[:, 0] + 0.5, scale * (before[:, 0] + 0.5), atol=1e-9)
    # The baseline of a stereo camera, in metres.
    assert found_p[0, 3] / found_p[0, 0] == pytest.approx(p[0, 3] / p[0, 0])
    assert np.allclose(found_p[:, :3], found_k)


def test_focal_lengths_of_binned_and_cropped_cameras() -> None:
    binned, size = CAMERAS["2x2 binning"]
    assert as_image_geometry_reads(labels_camera_info(binned, HEADER, size, size))[0][0, 0] == 500
    assert labels_camera_info(binned, HEADER, size, (180, 320)).k[0] == 250
    cropped, size = CAMERAS["region"]
    assert as_image_geometry_reads(labels_camera_info(cropped, HEADER, size, size))[0][0, 0] == 1000
    assert labels_camera_info(cropped, HEADER, size, (100, 150)).k[0] == 500


def test_a_camera_without_calibration_stays_without() -> None:
    found = labels_camera_info(CameraInfo(), HEADER, (480, 640), (240, 320))
    assert not any(found.k) and not any(found.p)
    assert (found.height, found.width) == (240, 320)
