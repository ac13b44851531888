# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Coordinates of point clouds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ciae_ros.spatial.cloud_reading import FLOAT32, FLOAT64, UnusableCloudError, read_coordinates

POINTS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def cloud(kind: str = "<f4", height: int = 1, row_padding: int = 0, **changes: object) -> Any:
    """A cloud with an intensity before the coordinates and a byte after them."""
    layout = np.dtype([("intensity", "<u2"), ("x", kind), ("y", kind), ("z", kind), ("tag", "u1")])
    points = np.zeros(len(POINTS), layout)
    for axis, name in enumerate("xyz"):
        points[name] = POINTS[:, axis]
    width = len(POINTS) // height
    rows = [points[row * width : (row + 1) * width].tobytes() + b"x" * row_padding for row in range(height)]
    assert layout.fields
    datatype = FLOAT64 if kind.endswith("8") else FLOAT32
    fields = [SimpleNamespace(name=name, offset=layout.fields[name][1], datatype=datatype) for name in "xyz"]
    values = {
        "height": height,
        "width": width,
        "fields": [SimpleNamespace(name="intensity", offset=0, datatype=4), *fields],
        "is_bigendian": kind.startswith(">"),
        "point_step": layout.itemsize,
        "row_step": len(rows[0]),
        "data": b"".join(rows),
    }
    return SimpleNamespace(**values | changes)


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8"])
@pytest.mark.parametrize("height", [1, 2])
@pytest.mark.parametrize("padding", [0, 5])
def test_coordinates_are_read_row_by_row(kind: str, height: int, padding: int) -> None:
    found = read_coordinates(cloud(kind, height, padding), max_points=100)
    np.testing.assert_array_equal(found, POINTS)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (cloud(fields=cloud().fields[:3]), "field z of a cloud is missing"),
        (cloud(point_step=9), "beyond its points of 9 bytes"),
        (cloud(data=b"x" * 20), "20 bytes are too few"),
        (cloud(row_step=3), "too few"),
        (cloud(width=101), "a cloud of 101 points; at most 100"),
    ],
)
def test_clouds_that_cannot_be_read_are_refused(message: Any, reason: str) -> None:
    with pytest.raises(UnusableCloudError, match=reason):
        read_coordinates(message, max_points=100)


def test_an_empty_cloud_has_no_points() -> None:
    assert read_coordinates(cloud(width=0, row_step=0, data=b""), max_points=100).shape == (0, 3)
