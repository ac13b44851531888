# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Image messages as from a faulty driver, a faulty network or an attacker."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ciae_ros.camera.image_conversion import ENCODINGS

MAX_BYTES = 40_000

_SCENE = cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8), (64, 48))
_VALID = [cv2.imencode(suffix, _SCENE)[1].tobytes() for suffix in (".jpg", ".png", ".bmp", ".tiff")]

headers = st.builds(
    Header,
    stamp=st.builds(
        Time,
        sec=st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]) | st.integers(0, 2**31 - 1),
        nanosec=st.sampled_from([0, 10**9, 2**32 - 1]) | st.integers(0, 10**9 - 1),
    ),
    frame_id=st.sampled_from(["", "camera", "nan", "../../etc", "x" * 300]),
)
sizes = st.integers(0, 48) | st.sampled_from([1, 2, 3, 7, 640, 65535, 65536, 2**31, 2**32 - 1])
near = st.sampled_from([0, 0, 0, 0, 1, -1, 2, -2, 3])
"""Offsets to a valid value."""


@st.composite
def raw_images(draw: st.DrawFn) -> Image:
    """Sizes, steps, encodings, byte orders and lengths, each valid or invalid."""
    encoding = draw(st.sampled_from([*ENCODINGS, *ENCODINGS, "", "RGB8", "rgb16", "32FC1", "16UC1", "8UC3", "\u20ac"]))
    height, width = draw(sizes), draw(sizes)
    known = ENCODINGS.get(encoding)
    step = draw(st.sampled_from([0, 2**32 - 1]) | near) + width * (known.bytes_per_pixel if known else 3)
    step = max(0, min(step, 2**32 - 1))
    rows = height * 3 // 2 if known and known.is_420 else height
    length = max(0, min(rows * step + draw(near), MAX_BYTES))
    fill = draw(st.integers(0, 255))
    return Image(
        header=draw(headers),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=draw(st.sampled_from([0, 1, 2, 255])),
        step=step,
        data=array("B", bytes([fill]) * length),
    )


@st.composite
def compressed_images(draw: st.DrawFn) -> CompressedImage:
    """Valid, truncated, corrupt, concatenated and random data."""
    data = bytearray(draw(st.sampled_from(_VALID) | st.binary(max_size=200)))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    changes = draw(st.sampled_from([0, 0, 1, 5, 50]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for place in random.integers(0, len(data), changes if data else 0):
        data[place] = random.integers(0, 256)
    if draw(st.sampled_from([False, False, True])):
        data += draw(st.sampled_from(_VALID))
    name = draw(st.sampled_from(["", "jpeg", "png", "16UC1; compressedDepth png", "rgb8; jpeg compressed bgr8"]))
    return CompressedImage(header=draw(headers), format=name, data=array("B", bytes(data)))
