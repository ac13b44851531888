# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Positions and sizes of objects in a rendered drive, where they are known exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ciae_ros.spatial.boxes import Alignment
from ciae_ros.spatial.depth_cleaning import DepthLimits, clean_depth
from ciae_ros.spatial.objects import MeasuredObject, ObjectSettings, box_axes, measure_in_depth

pytest.importorskip("tests.rendering.drive", reason="needs MuJoCo, of requirements-dev.txt")
from tests.rendering.accuracy import box_errors
from tests.rendering.drive import OBJECTS
from tests.rendering.truth import labelled_frame

if TYPE_CHECKING:
    from tests.rendering.drive import Drive, RenderedFrame

TIMES = np.arange(0, 3, 0.25)


@pytest.fixture(scope="module")
def frames(drive: Drive) -> list[RenderedFrame]:
    return list(drive.frames(TIMES))


def measure(
    drive: Drive, frame: RenderedFrame, depth: np.ndarray, too_large: int, alignment: Alignment = "gravity"
) -> dict[int, MeasuredObject]:
    """Measure the objects of a frame in the coordinates of the world, by number."""
    labelled = labelled_frame(frame, too_large)
    axes = box_axes(alignment, np.eye(3), frame.camera.rotation.T)
    found = measure_in_depth(labelled.labels, depth, drive.camera.rays, labelled.segments, axes, ObjectSettings())
    return {one.segment.track_id: one.transformed(frame.camera) for one in found}


@pytest.mark.parametrize("too_large", [0, 3])
def test_positions_and_sizes_are_exact_also_if_masks_are_too_large(
    drive: Drive, frames: list[RenderedFrame], too_large: int
) -> None:
    errors = box_errors(drive, frames, too_large, noisy=False)
    assert len(errors) > 60
    assert np.median([one.position for one in errors]) < 0.02
    assert np.median([one.extent for one in errors]) < 0.15
    near = [one for one in errors if one.distance < 12]
    assert np.percentile([one.position for one in near], 90) < 0.07
    assert np.percentile([one.extent for one in near], 90) < 0.4


@pytest.mark.parametrize("too_large", [0, 3])
def test_the_noise_of_a_stereo_camera_is_tolerated(drive: Drive, frames: list[RenderedFrame], too_large: int) -> None:
    errors = box_errors(drive, frames, too_large, noisy=True)
    # A pixel's own error is 2 cm at 4 m, 12 cm at 10 m and half a metre at 20 m.
    assert np.median([one.position for one in errors]) < 0.05
    near = [one.position for one in errors if one.distance < 5]
    assert np.percentile(near, 90) < 0.04


def test_an_oriented_box_has_the_heading_and_size_of_a_car(drive: Drive, frames: list[RenderedFrame]) -> None:
    frame = frames[8]
    depth = clean_depth(frame.depth, DepthLimits())
    car = measure(drive, frame, depth, 0, "oriented")[3]
    heading = OBJECTS[2].heading
    along, across, up = car.box.rotation.T
    assert abs(along @ (np.cos(heading), np.sin(heading), 0)) > 0.995
    np.testing.assert_allclose(np.abs(up), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(np.cross(along, across), up, atol=1e-6)
    # Its far end is not visible, and another car hides a part of its side.
    assert 3.0 < car.box.size[0] < 4.3
    assert car.box.size[1] == pytest.approx(1.8, abs=0.2)
    assert car.box.size[2] == pytest.approx(1.5, abs=0.1)


def test_a_box_in_the_axes_of_the_camera(drive: Drive, frames: list[RenderedFrame]) -> None:
    frame = frames[0]
    depth = clean_depth(frame.depth, DepthLimits())
    person = measure(drive, frame, depth, 0, "camera")[4]
    np.testing.assert_allclose(person.box.rotation, frame.camera.rotation, atol=1e-6)
    width, height, _ = person.box.size
    assert width == pytest.approx(0.44, abs=0.05)
    assert height == pytest.approx(1.81, abs=0.1)


def test_gravity_must_be_known_for_boxes_aligned_with_it() -> None:
    with pytest.raises(ValueError, match="need the direction of gravity"):
        box_axes("gravity", np.eye(3), None)
    assert box_axes("oriented", np.eye(3), None).axes.T.tolist() == [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]


def test_objects_with_too_few_measured_pixels_get_no_box(drive: Drive, frames: list[RenderedFrame]) -> None:
    frame = frames[0]
    depth = clean_depth(frame.depth, DepthLimits())
    sparse = np.where(np.arange(depth.size).reshape(depth.shape) % 30, 0, depth).astype(np.float32)
    assert measure(drive, frame, depth, 0)
    assert not measure(drive, frame, sparse, 0)
    assert not measure(drive, frame, np.zeros_like(depth), 0)
