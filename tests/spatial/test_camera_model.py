# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Rays and projections of calibrated cameras."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ciae_ros.spatial.camera_model import UnusableCalibrationError, camera_model


def info(**fields: object) -> SimpleNamespace:
    """A CameraInfo of a camera of 640 x 480 pixels."""
    values: dict[str, object] = {
        "height": 480,
        "width": 640,
        "distortion_model": "plumb_bob",
        "d": [],
        "k": [500.0, 0, 320, 0, 510, 240, 0, 0, 1],
        "p": [400.0, 0, 310, 0, 0, 400, 230, 0, 0, 0, 1, 0],
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, height=0, width=0),
    }
    return SimpleNamespace(**values | fields)


DISTORTIONS = {
    "none": {},
    "zeros": {"d": [0.0] * 5},
    "plumb_bob": {"d": [-0.2, 0.05, 0.001, -0.002, 0.0]},
    "rational_polynomial": {"distortion_model": "rational_polynomial", "d": [0.5, -0.1, 0, 0, 0.01, 0.8, -0.1, 0.02]},
    "equidistant": {"distortion_model": "equidistant", "d": [0.05, -0.01, 0.002, 0.0]},
}


@pytest.mark.parametrize("name", DISTORTIONS)
def test_points_on_the_ray_of_a_pixel_are_projected_to_it(name: str) -> None:
    camera = camera_model(info(**DISTORTIONS[name]), 480, 640, rectified=False)
    rows, columns = np.meshgrid(np.arange(0, 480, 37), np.arange(0, 640, 41), indexing="ij")
    rays = camera.rays[rows, columns].reshape(-1, 2)
    z = np.random.default_rng(0).uniform(0.5, 30, len(rays)).astype(np.float32)
    points = np.concatenate([rays * z[:, None], z[:, None]], axis=1)
    expected = np.stack([columns.ravel(), rows.ravel()], axis=1)
    np.testing.assert_allclose(camera.project(points), expected, atol=0.05)


def test_the_ray_of_the_principal_point_is_the_axis() -> None:
    camera = camera_model(info(), 480, 640, rectified=False)
    assert camera.rays.shape == (480, 640, 2)
    np.testing.assert_array_equal(camera.rays[240, 320], [0, 0])
    np.testing.assert_allclose(camera.rays[240 + 51, 320 + 50], [0.1, 0.1])


def test_a_rectified_image_has_the_projection_and_no_distortion() -> None:
    camera = camera_model(info(d=[0.3] * 5), 480, 640, rectified=True)
    np.testing.assert_array_equal(camera.matrix, [[400, 0, 310], [0, 400, 230], [0, 0, 1]])
    assert not camera.distortion.size


def test_region_and_binning_are_applied() -> None:
    region = SimpleNamespace(x_offset=100, y_offset=40, height=240, width=320)
    camera = camera_model(info(roi=region, binning_x=2, binning_y=2), 120, 160, rectified=False)
    np.testing.assert_allclose(camera.matrix, [[250, 0, 110], [0, 255, 100], [0, 0, 1]])


def test_a_resized_image_has_the_same_field_of_view() -> None:
    full = camera_model(info(), 480, 640, rectified=False)
    half = camera_model(info(), 240, 320, rectified=False)
    # The centre of a pixel of the small image is at the corner of four pixels of the large one.
    expected = full.rays.reshape(240, 2, 320, 2, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(half.rays, expected, atol=1e-5)


def test_a_point_outside_of_the_field_of_view_does_not_appear_in_a_distorted_image() -> None:
    camera = camera_model(info(d=[-0.2, 0.0, 0.0, 0.0, 0.0]), 480, 640, rectified=False)
    assert camera.has_ray.all()
    # At 62 degrees from the axis the polynomial has turned back into the image.
    beyond = np.tan(np.deg2rad(62))
    assert 500 * beyond * (1 - 0.2 * beyond**2) < 320
    points = np.array([[beyond, 0, 1], [0, -beyond, 1], [0.5, 0, 1]])
    np.testing.assert_array_equal(np.isnan(camera.project(points)).all(axis=1), [True, True, False])


def test_pixels_that_no_point_appears_at_have_no_ray() -> None:
    camera = camera_model(info(d=[-0.35, 0.0, 0.0, 0.0, 0.0]), 480, 640, rectified=False)
    # The polynomial reaches 0.65 focal lengths; the corners are at 0.79.
    rows, columns = np.indices((480, 640))
    radius = np.hypot((columns - 320) / 500, (rows - 240) / 510)
    assert camera.has_ray[radius < 0.6].all()
    assert not camera.has_ray[radius > 0.7].any()
    depth = camera.with_rays_only(np.ones((480, 640), np.float32))
    np.testing.assert_array_equal(depth > 0, camera.has_ray)


@pytest.mark.parametrize(
    ("fields", "size", "message"),
    [
        ({"k": [0.0] * 9}, (480, 640), "K of its CameraInfo has no focal length"),
        ({}, (480, 480), "480 x 480 pixels, and its CameraInfo describes 640 x 480"),
        ({"distortion_model": "thin_prism_fisheye", "d": [0.1]}, (480, 640), "'thin_prism_fisheye' is not supported"),
        ({"distortion_model": "equidistant", "d": [0.1] * 5}, (480, 640), "equidistant has no 5 coefficients"),
    ],
)
def test_calibrations_that_do_not_fit_are_refused(
    fields: dict[str, object], size: tuple[int, int], message: str
) -> None:
    with pytest.raises(UnusableCalibrationError, match=message):
        camera_model(info(**fields), *size, rectified=False)
