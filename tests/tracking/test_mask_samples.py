# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Sampled masks: overlaps with segments after they have moved."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.tracking.mask_samples import GRID, overlap, sample_masks


def disk(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).astype(np.uint16)


def box_of(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1])


def test_a_mask_up_to_the_size_of_the_grid_is_exact() -> None:
    labels = np.zeros((60, 80), np.uint16)
    labels[10:30, 20:45] = 1
    labels[15:22, 30:40] = 2
    samples = sample_masks(labels, np.array([1, 2]), np.array([[20, 10, 25, 20], [30, 15, 10, 7]]))
    common = overlap(samples, np.array([[20.0, 10, 25, 20], [30, 15, 10, 7]]), labels, 2)
    np.testing.assert_allclose(common, [[0, 430, 0], [0, 0, 70]])


@pytest.mark.parametrize("radius", [5.0, 40.0, 170.0])
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.1])
def test_the_overlap_of_a_moved_mask_is_that_of_its_pixels(radius: float, shift: float) -> None:
    moved_by = round(shift * radius)
    first, second = disk(400, 700, 180, 200, radius), disk(400, 700, 180 + moved_by, 200, radius)
    box = box_of(first)
    common = overlap(sample_masks(first, np.array([1]), box[None]), box[None].astype(float), second, 1)
    exact = np.bincount(second[first == 1], minlength=2)
    np.testing.assert_allclose(common[0], exact, atol=0.02 * first.sum())


def test_a_scaled_mask_has_the_area_of_its_new_box() -> None:
    labels = np.ones((100, 100), np.uint8)
    samples = sample_masks(labels, np.array([1]), np.array([[40, 40, 20, 10]]))
    common = overlap(samples, np.array([[10.0, 10, 60, 40]]), labels, 1)
    np.testing.assert_allclose(common, [[0, 2400]])


def test_what_is_outside_the_image_does_not_count() -> None:
    labels = np.ones((50, 50), np.uint16)
    samples = sample_masks(labels, np.array([1]), np.array([[0, 0, 10, 10]]))
    boxes = np.array([[-5.0, 45, 10, 10], [200, 200, 10, 10]])
    twice = type(samples)(*(np.repeat(field, 2, axis=0) for field in samples))
    np.testing.assert_allclose(overlap(twice, boxes, labels, 1), [[0, 25], [0, 0]])


def test_the_number_of_samples_is_bounded() -> None:
    labels = np.ones((2000, 3000), np.uint16)
    samples = sample_masks(labels, np.array([1]), np.array([[0, 0, 3000, 2000]]))
    assert samples.inside.shape == (1, GRID, GRID)
    assert samples.size.tolist() == [[GRID, GRID]]
