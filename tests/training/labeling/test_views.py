# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Views of a frame, and the motion between neighbours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ciae_ros.core.segment_maps import panoptic_result
from tests.training.labeling.recordings import CAR, ROAD, SKY, ColorTeacher, picture
from training.labeling.motion import MotionField
from training.labeling.views import views_of

CONTENTS = {1: (ROAD, 1.0), 2: (SKY, 1.0), 3: (CAR, 0.9)}


def test_mirrored_labels_are_turned_back() -> None:
    frame, teacher = picture(2), ColorTeacher()
    original, mirrored = views_of(frame, mirror=True)
    (expected,), (found,) = teacher.label([original.image]), teacher.label([mirrored.image])
    assert np.array_equal(mirrored.image, frame[:, ::-1])
    assert np.array_equal(mirrored.restore(found).label_map, expected.label_map)


@pytest.mark.parametrize("shift", [-3, 4])
def test_labels_of_a_neighbour_are_moved_back(shift: int) -> None:
    rng = np.random.default_rng(0)
    large = cv2.GaussianBlur(rng.integers(0, 256, (140, 180, 3), np.uint8), (0, 0), 2)
    frame, neighbor = large[20:116, 20:148], large[20:116, 20 - shift : 148 - shift]
    ids = np.zeros((96, 128), np.uint16)
    ids[30:60, 40:80] = 7
    moved = np.roll(ids, shift, axis=1)
    found = MotionField(frame, neighbor).bring_back(moved)
    inside = (slice(8, -8), slice(8, -8))
    assert (found == ids)[inside].mean() > 0.97


def test_pixels_that_a_neighbour_does_not_show_have_no_label() -> None:
    frame, neighbor = picture(1), picture(2)
    found = MotionField(frame, neighbor)
    # The car covers this part of the road in the neighbour.
    covered = (slice(52, 72), slice(1 * 8 + 4 + 30, 2 * 8 + 4 + 30))
    assert found.is_visible[covered].mean() < 0.8
    assert found.is_visible[80:, :].mean() > 0.95
    everywhere = found.bring_back(np.ones(frame.shape[:2], np.uint16))
    assert np.array_equal(everywhere > 0, found.is_visible)


def test_neighbours_of_a_real_video_agree(data: Path) -> None:
    video = cv2.VideoCapture(str(data / "video" / "udacity_vehicle_test_video.mp4"))
    frames = [cv2.resize(video.read()[1], (640, 360)) for _ in range(2)]
    gray = cv2.cvtColor(frames[0], cv2.COLOR_BGR2GRAY)
    moved = MotionField(*frames).bring_back(cv2.cvtColor(frames[1], cv2.COLOR_BGR2GRAY))
    seen = moved > 0
    assert seen.mean() > 0.8
    unmoved = np.abs(cv2.cvtColor(frames[1], cv2.COLOR_BGR2GRAY).astype(int) - gray)[seen].mean()
    assert np.abs(moved.astype(int) - gray)[seen].mean() < 0.6 * unmoved


def test_neighbours_of_another_size_are_left_out() -> None:
    frame = picture(0)
    assert len(list(views_of(frame, [frame[:50], picture(1)]))) == 2


def test_scores_and_categories_remain() -> None:
    result = panoptic_result(np.array([[1, 2, 3]]), CONTENTS)
    (_, mirrored) = views_of(np.zeros((1, 3, 3), np.uint8), mirror=True)
    assert mirrored.restore(result).segments == result.segments
