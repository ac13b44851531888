# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The labelled points of depth images, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from ciae_ros.spatial.depth_points import label_depth_points
from ciae_ros.spatial.point_layout import LabelledSegment, point_fields, segment_words
from ciae_ros.spatial.point_memory import PointMemory
from ciae_ros.spatial.rigid_transform import RigidTransform

TURNED = RigidTransform(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([1.0, 2, 3]))
SEGMENTS = [
    LabelledSegment(1, 7, "road", False, 1.0, (0, 0, 8, 6), (10, 20, 30)),
    LabelledSegment(2, 300, "car", True, 0.9, (2, 2, 3, 3), (1, 2, 3), track_id=70000),
]


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Depth, rays, labels and image."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 5, (6, 8)).astype(np.float32)
    depth[rng.random((6, 8)) < 0.3] = 0
    labels = rng.integers(0, 3, (6, 8)).astype(np.uint16)
    return depth, rng.normal(size=(6, 8, 2)).astype(np.float32), labels, rng.integers(0, 256, (6, 8, 3), np.uint8)


def read(points: np.ndarray, packed: bool = False) -> np.ndarray:
    """Points as a structured array, by the layout that is published."""
    fields = point_fields(packed)
    names, kinds, offsets = zip(*((field.name, field.kind, field.offset) for field in fields), strict=True)
    kind = np.dtype({"names": names, "formats": kinds, "offsets": offsets, "itemsize": 4 * points.shape[1]})
    return points.view(kind)[:, 0]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("unlabelled", [False, True])
@pytest.mark.parametrize("organised", [False, True])
def test_each_measured_pixel_becomes_its_point(
    scene: tuple[np.ndarray, ...], organised: bool, unlabelled: bool, stride: int
) -> None:
    depth, rays, labels, image = scene
    table = segment_words(SEGMENTS, packed_label=True)
    points = label_depth_points(depth, rays, labels, table, image, TURNED, organised, stride, unlabelled, PointMemory())
    found = read(points, packed=True)
    thinned = np.zeros(depth.shape, bool)
    thinned[::stride, ::stride] = True
    wanted = (depth > 0) & ((labels > 0) | unlabelled)
    rows, columns = np.nonzero(thinned if organised else thinned & wanted)
    z = np.where(wanted, depth, np.nan)[rows, columns, None]
    expected = TURNED.apply(np.concatenate([rays[rows, columns] * z, z], axis=1).astype(np.float64))
    np.testing.assert_allclose(np.stack([found["x"], found["y"], found["z"]], axis=1), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["segment_id"], labels[rows, columns])
    np.testing.assert_array_equal(found["category_id"], np.array([0, 7, 300])[labels[rows, columns]])
    np.testing.assert_array_equal(found["track_id"], np.array([0, 0, 70000])[labels[rows, columns]])
    np.testing.assert_array_equal(found["label"], np.array([0, 7 << 16, 300 << 16 | 2])[labels[rows, columns]])
    red, green, blue = (image[rows, columns, channel].astype(np.uint32) for channel in (2, 1, 0))
    np.testing.assert_array_equal(found["rgb"].view(np.uint32), red << 16 | green << 8 | blue)


def test_without_an_image_points_have_the_colours_of_their_segments(scene: tuple[np.ndarray, ...]) -> None:
    depth, rays, labels, _ = scene
    table = segment_words(SEGMENTS, packed_label=False)
    points = label_depth_points(depth, rays, labels, table, None, RigidTransform(), False, 1, True, PointMemory())
    assert points.shape[1] == 6
    colors = np.array([0x808080, 30 << 16 | 20 << 8 | 10, 3 << 16 | 2 << 8 | 1])
    np.testing.assert_array_equal(read(points)["rgb"].view(np.uint32), colors[labels[depth > 0]])


def test_memory_is_used_again_and_always_exactly_full() -> None:
    memory = PointMemory()
    for count in (5, 9, 9, 2, 0, 7):
        points = memory.reserve(count, 6)
        points[:] = count
        assert len(memory.data) == 24 * count
        np.testing.assert_array_equal(np.frombuffer(memory.data, np.float32), np.full(6 * count, count))
        del points


def test_memory_that_is_still_in_use_is_not_overwritten() -> None:
    memory = PointMemory()
    first = memory.reserve(3, 6)
    first[:] = 1
    memory.reserve(4, 6)[:] = 2
    assert set(first.ravel()) == {1}
