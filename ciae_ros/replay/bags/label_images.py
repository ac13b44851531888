# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Images of segment ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from ciae_ros.camera.camera_image import UnusableImageError

TYPES = {"16UC1": "u2", "mono16": "u2", "8UC1": "u1", "mono8": "u1", "32SC1": "i4"}
"""By encoding."""


def label_map_of(message: Any) -> np.ndarray:
    """(H, W) int32 segment ids of a message `sensor_msgs/Image`.

    Raises:
        UnusableImageError: it is none, or its sizes do not add up.
    """
    if message.encoding not in TYPES:
        raise UnusableImageError("encoding", f"an image of segment ids is {' or '.join(TYPES)}, not {message.encoding}")
    kind = np.dtype(TYPES[message.encoding]).newbyteorder(">" if message.is_bigendian else "<")
    row = message.width * kind.itemsize
    data = np.frombuffer(message.data, np.uint8)
    if message.step < row or data.size < message.step * message.height:
        raise UnusableImageError("sizes", f"{data.size} bytes for {message.width} x {message.height} segment ids")
    rows = data[: message.step * message.height].reshape(message.height, message.step)[:, :row]
    return np.ascontiguousarray(rows).view(kind).astype(np.int32)
