# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Messages of labelled points and objects."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from ciae_msgs.msg import PanopticSegments
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ciae_ros.core.categories import Category
from ciae_ros.core.segment_display import segment_color, thing_name
from ciae_ros.node.publishing.byte_data import message_with_data
from ciae_ros.spatial import point_layout
from ciae_ros.spatial.objects import MeasuredObject
from ciae_ros.spatial.point_layout import LabelledSegment
from ciae_ros.spatial.rigid_transform import quaternion_of
from ciae_ros.spatial.scene import Scene

try:
    from vision_msgs.msg import (
        BoundingBox3D,
        Detection3D,
        Detection3DArray,
        ObjectHypothesis,
        ObjectHypothesisWithPose,
    )
except ImportError:
    Detection3DArray = None

DATATYPES: dict[type[np.generic], int] = {
    np.float32: PointField.FLOAT32,
    np.uint16: PointField.UINT16,
    np.uint32: PointField.UINT32,
}
BOX_OPACITY = 0.4
TEXT_HEIGHT = 0.25
"""In metres."""
POSITION_SIZE = 0.1
"""Diameter of the sphere at an object's position in metres."""


def labelled_segments(segments: PanopticSegments) -> list[LabelledSegment]:
    """Return the segments of a message."""
    found = []
    for segment in segments.segments:
        box = segment.box.x_offset, segment.box.y_offset, segment.box.width, segment.box.height
        # The message does not have the data set's colours.
        category = Category.from_coco({"id": segment.category_id, "name": "", "isthing": segment.is_thing})
        found.append(
            LabelledSegment(
                id=segment.id,
                category_id=segment.category_id,
                category_name=segment.category_name,
                is_thing=segment.is_thing,
                score=segment.score,
                box=box,
                color=segment_color(segment.track_id or segment.id, category),
                track_id=segment.track_id,
            )
        )
    return found


def cloud_message(header: Header, scene: Scene) -> PointCloud2:
    """Create the cloud of the points of a scene, whose memory it uses.

    Args:
        header: stamp of the image and frame of the points.
        scene: a scene with points.
    """
    assert scene.points is not None
    height, width = scene.shape
    words = scene.points.shape[1]
    is_packed = words == point_layout.point_words(packed_label=True)
    return message_with_data(
        PointCloud2,
        scene.data,
        header=header,
        height=height,
        width=width,
        fields=[
            PointField(name=field.name, offset=field.offset, datatype=DATATYPES[field.kind], count=1)
            for field in point_layout.point_fields(is_packed)
        ],
        is_bigendian=False,
        point_step=4 * words,
        row_step=4 * words * width,
        # Only points in the form of an image include some of NaN.
        is_dense=height == 1,
    )


def coordinates_message(header: Header, points: np.ndarray) -> PointCloud2:
    """Create the cloud of points without labels.

    Args:
        header: stamp of the image and frame of the points.
        points: (N, 3) float32.
    """
    data = array("B")
    data.frombytes(points.data.cast("B") if len(points) else b"")
    fields = [
        PointField(name=name, offset=4 * place, datatype=PointField.FLOAT32, count=1)
        for place, name in enumerate("xyz")
    ]
    return message_with_data(
        PointCloud2,
        data,
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=12,
        row_step=12 * len(points),
        is_dense=True,
    )


def detections_message(header: Header, objects: Iterable[MeasuredObject]) -> Detection3DArray:
    """Create the message of vision_msgs: the pose of a hypothesis is the median position, the box is in `bbox`."""
    return Detection3DArray(header=header, detections=[_detection(header, one) for one in objects])


def markers_message(header: Header, objects: Sequence[MeasuredObject]) -> MarkerArray:
    """Create boxes, median positions and names for RViz; the previous ones are deleted."""
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    if not objects:
        return MarkerArray(markers=markers)
    positions = Marker(
        header=header,
        ns="positions",
        type=Marker.SPHERE_LIST,
        scale=Vector3(x=POSITION_SIZE, y=POSITION_SIZE, z=POSITION_SIZE),
    )
    positions.pose.orientation.w = 1.0
    for number, one in enumerate(objects):
        blue, green, red = (channel / 255 for channel in one.segment.color)
        pose = _pose(one.box.center, one.box.rotation)
        box = Marker(header=header, ns="boxes", id=number, type=Marker.CUBE, pose=pose)
        # RViz complains about flat boxes.
        box.scale = _vector(np.maximum(one.box.size, 1e-3))
        box.color = ColorRGBA(r=red, g=green, b=blue, a=BOX_OPACITY)
        name = Marker(header=header, ns="names", id=number, type=Marker.TEXT_VIEW_FACING, pose=pose)
        name.scale.z = TEXT_HEIGHT
        name.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
        name.text = thing_name(one.segment.category_name, one.segment.track_id, one.segment.score)
        x, y, z = map(float, one.box.position)
        positions.points.append(Point(x=x, y=y, z=z))
        positions.colors.append(ColorRGBA(r=red, g=green, b=blue, a=1.0))
        markers += [box, name]
    return MarkerArray(markers=[*markers, positions])


def _detection(header: Header, one: MeasuredObject) -> Detection3D:
    hypothesis = ObjectHypothesisWithPose(
        hypothesis=ObjectHypothesis(class_id=str(one.segment.category_id), score=one.segment.score)
    )
    hypothesis.pose.pose = _pose(one.box.position, one.box.rotation)
    return Detection3D(
        header=header,
        results=[hypothesis],
        bbox=BoundingBox3D(center=_pose(one.box.center, one.box.rotation), size=_vector(one.box.size)),
        id=str(one.segment.track_id or ""),
    )


def _pose(position: np.ndarray, rotation: np.ndarray) -> Pose:
    x, y, z = map(float, position)
    qx, qy, qz, qw = map(float, quaternion_of(rotation))
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def _vector(values: np.ndarray) -> Vector3:
    x, y, z = map(float, values)
    return Vector3(x=x, y=y, z=z)
