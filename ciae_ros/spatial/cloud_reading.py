# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The coordinates of the points of a cloud, from the fields of its message."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

FLOAT32, FLOAT64 = 7, 8
"""Values of `PointField.datatype`."""


class UnusableCloudError(Exception):
    """A message without usable points; its frame must be dropped."""


class CloudMessage(Protocol):
    """The fields of sensor_msgs/PointCloud2."""

    height: int
    width: int
    fields: Any
    is_bigendian: bool
    point_step: int
    row_step: int
    data: Any
    """A buffer of bytes."""


def read_coordinates(message: CloudMessage, max_points: int) -> np.ndarray:
    """Return x, y and z of all points, (height * width, 3) float32, row by row; missing points are NaN.

    Raises:
        UnusableCloudError: a coordinate is missing or no floating-point number, sizes are inconsistent, or there are
            too many points.
    """
    count = message.height * message.width
    if count > max_points:
        raise UnusableCloudError(f"a cloud of {count} points; at most {max_points} are used (max_pixels)")
    by_name = {field.name: field for field in message.fields}
    order = ">" if message.is_bigendian else "<"
    formats = []
    for name in "xyz":
        field = by_name.get(name)
        if field is None or field.datatype not in (FLOAT32, FLOAT64):
            raise UnusableCloudError(f"the field {name} of a cloud is missing or no floating-point number")
        formats.append(f"{order}f{4 if field.datatype == FLOAT32 else 8}")
        if field.offset + int(formats[-1][-1]) > message.point_step:
            raise UnusableCloudError(f"the field {name} of a cloud is beyond its points of {message.point_step} bytes")
    if message.row_step < message.width * message.point_step or len(message.data) < message.height * message.row_step:
        raise UnusableCloudError(
            f"{len(message.data)} bytes are too few for {message.height} rows of {message.width} points of "
            f"{message.point_step} bytes"
        )
    layout: Any = {  # NumPy's type of such dictionaries has no public name.
        "names": ["x", "y", "z"],
        "formats": formats,
        "offsets": [by_name[name].offset for name in "xyz"],
        "itemsize": message.point_step,
    }
    kind = np.dtype(layout)
    strides = message.row_step, message.point_step
    points: np.ndarray = np.ndarray(
        (message.height, message.width), kind, np.frombuffer(message.data, np.uint8), 0, strides
    )
    coordinates = np.empty((message.height, message.width, 3), np.float32)
    for axis, name in enumerate("xyz"):
        coordinates[..., axis] = points[name]
    return coordinates.reshape(count, 3)
