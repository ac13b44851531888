# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a frame is made of, as it arrives: labelled images, and the depth images or clouds of the same time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ciae_msgs.msg import PanopticSegments
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from ciae_ros.camera.camera_image import UnusableImageError
from ciae_ros.camera.depth_image import DepthImage, decode_depth, read_depth
from ciae_ros.camera.image_conversion import convert_image
from ciae_ros.camera.image_decoding import decode_image
from ciae_ros.node.panoptic_3d.messages import labelled_segments
from ciae_ros.spatial.point_layout import LabelledSegment


@dataclass(frozen=True)
class LabelSource:
    """A label image with its segments, from two messages or from a node in the same process."""

    header: Header
    read: Callable[[], tuple[np.ndarray, Sequence[LabelledSegment]]]
    """Returns labels (H, W) uint16 and segments; raises `UnusableImageError`."""
    calibration: CameraInfo | None = None
    """Calibration for this image; None: that of the topic."""
    colors: Callable[[], np.ndarray] | None = None
    """Returns the (h, w, 3) uint8 BGR image, if it is known without a topic."""


DepthMessage = Image | CompressedImage | PointCloud2


def source_of_messages(labels: Image, segments: PanopticSegments) -> LabelSource:
    """Return the source of two messages with the same stamp."""

    def read() -> tuple[np.ndarray, Sequence[LabelledSegment]]:
        ids = read_labels(labels)
        check_segments(ids, segments)
        return ids, labelled_segments(segments)

    return LabelSource(labels.header, read)


def check_segments(ids: np.ndarray, message: PanopticSegments) -> None:
    """Check that segments describe a label image (H, W).

    Raises:
        UnusableImageError: sizes differ, ids are not dense, a pixel has no segment, or a box is not in the image.
    """
    height, width = ids.shape
    if (message.height, message.width) != (height, width):
        reason = f"segments of {message.width} x {message.height} pixels for labels of {width} x {height}"
        raise UnusableImageError("inconsistent labels", reason)
    if [segment.id for segment in message.segments] != list(range(1, len(message.segments) + 1)):
        raise UnusableImageError("inconsistent labels", "the ids of the segments are not 1, 2, 3, ...")
    if int(ids.max()) > len(message.segments):
        reason = f"a pixel belongs to segment {int(ids.max())} of {len(message.segments)}"
        raise UnusableImageError("inconsistent labels", reason)
    for segment in message.segments:
        box = segment.box
        if box.x_offset + box.width > width or box.y_offset + box.height > height:
            raise UnusableImageError("inconsistent labels", f"the box of segment {segment.id} is not in the image")


def read_labels(message: Image) -> np.ndarray:
    """Return the ids of a label image, (H, W) uint16.

    Raises:
        UnusableImageError: its encoding is another one, or its sizes are inconsistent.
    """
    if message.encoding not in ("16UC1", "mono16"):
        raise UnusableImageError("unknown encoding", f"labels of {message.encoding!r}, not 16UC1")
    rows, size = message.height, 2 * message.width
    if not rows or not size or message.step < size or len(message.data) != rows * message.step:
        raise UnusableImageError("wrong length", f"{len(message.data)} bytes of labels are not {rows} rows of {size}")
    pixels = np.frombuffer(message.data, np.uint8).reshape(rows, message.step)[:, :size]
    values = np.ascontiguousarray(pixels).view(np.uint16)
    return values.byteswap() if bool(message.is_bigendian) != (sys.byteorder == "big") else values


def read_depth_message(message: Image | CompressedImage, unit: float, max_pixels: int) -> DepthImage:
    """Return the depth of a raw or compressed image.

    Raises:
        UnusableImageError: it cannot be used.
    """
    if isinstance(message, CompressedImage):
        return decode_depth(message, unit, max_pixels)
    return read_depth(message, unit, max_pixels)


def read_colors(message: Image | CompressedImage, max_pixels: int) -> np.ndarray:
    """Return a camera image, (h, w, 3) uint8 BGR.

    Raises:
        UnusableImageError: it cannot be used.
    """
    decode = decode_image if isinstance(message, CompressedImage) else convert_image
    return decode(message, max_pixels).to_bgr()
