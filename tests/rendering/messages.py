# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""ROS messages of frames with ground truth: images, depth, calibrations, labels, segments and transforms."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from ciae_msgs.msg import PanopticSegment, PanopticSegments
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from ciae_ros.spatial.camera_model import CameraModel
from ciae_ros.spatial.point_layout import LabelledSegment
from ciae_ros.spatial.rigid_transform import RigidTransform, quaternion_of


def header(stamp: int, frame: str) -> Header:
    """Return a header with a stamp in nanoseconds."""
    message = Header(frame_id=frame)
    message.stamp.sec, message.stamp.nanosec = divmod(stamp, 1_000_000_000)
    return message


def image(stamp: int, frame: str, pixels: np.ndarray, encoding: str) -> Image:
    """Return a raw image."""
    height, width = pixels.shape[:2]
    data = array("B", np.ascontiguousarray(pixels).tobytes())
    return Image(
        header=header(stamp, frame),
        height=height,
        width=width,
        encoding=encoding,
        step=len(data) // height,
        data=data,
    )


def camera_info(stamp: int, frame: str, camera: CameraModel) -> CameraInfo:
    """Return the calibration of an undistorted camera."""
    projection = np.hstack([camera.matrix, np.zeros((3, 1))])
    return CameraInfo(
        header=header(stamp, frame),
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=camera.matrix.ravel(),
        r=np.eye(3).ravel(),
        p=projection.ravel(),
    )


def segments(stamp: int, frame: str, labels: np.ndarray, found: Sequence[LabelledSegment]) -> PanopticSegments:
    """Return the segments of a label image, as `panoptic_node` publishes them."""
    return PanopticSegments(
        header=header(stamp, frame),
        height=labels.shape[0],
        width=labels.shape[1],
        model="ground truth",
        segments=[
            PanopticSegment(
                id=one.id,
                category_id=one.category_id,
                category_name=one.category_name,
                is_thing=one.is_thing,
                score=one.score,
                area=int(np.count_nonzero(labels == one.id)),
                box=RegionOfInterest(x_offset=one.box[0], y_offset=one.box[1], width=one.box[2], height=one.box[3]),
                track_id=one.track_id,
            )
            for one in found
        ],
    )


def transforms(stamp: int, *entries: tuple[str, str, RigidTransform]) -> TFMessage:
    """Return transforms of child frames to their parents: (parent, child, transform)."""
    return TFMessage(
        transforms=[
            TransformStamped(
                header=header(stamp, parent),
                child_frame_id=child,
                transform=Transform(
                    translation=Vector3(**dict(zip("xyz", map(float, transform.translation), strict=True))),
                    rotation=Quaternion(
                        **dict(zip("xyzw", map(float, quaternion_of(transform.rotation)), strict=True))
                    ),
                ),
            )
            for parent, child, transform in entries
        ]
    )


def cloud(stamp: int, frame: str, points: np.ndarray) -> PointCloud2:
    """Return a lidar's cloud of (N, 3) points, each with an intensity."""
    words = np.zeros((len(points), 4), np.float32)
    words[:, :3] = points
    return PointCloud2(
        header=header(stamp, frame),
        height=1,
        width=len(points),
        fields=[
            PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
            for index, name in enumerate(("x", "y", "z", "intensity"))
        ],
        point_step=16,
        row_step=16 * len(points),
        data=array("B", words.tobytes()),
        is_dense=True,
    )
