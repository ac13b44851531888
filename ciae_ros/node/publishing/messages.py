# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Conversion of results and categories to ROS messages."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
from ciae_msgs.msg import PanopticSegment, PanopticSegments, RunLengthLabels
from geometry_msgs.msg import Point32
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from ciae_ros.core.run_lengths import encode_runs
from ciae_ros.inference import Category, PanopticResult, Segment

try:
    from vision_msgs.msg import (
        BoundingBox2D,
        Detection2D,
        Detection2DArray,
        LabelInfo,
        ObjectHypothesis,
        ObjectHypothesisWithPose,
        Point2D,
        Pose2D,
        VisionClass,
    )
except ImportError:
    Detection2DArray = LabelInfo = None


def segments_message(header: Header, result: PanopticResult, model: str) -> PanopticSegments:
    """Create the message with the segments of a label image."""
    height, width = result.label_map.shape
    segments = [_segment(segment) for segment in result.segments]
    return PanopticSegments(header=header, height=height, width=width, model=model, segments=segments)


def run_length_labels(header: Header, labels: np.ndarray) -> RunLengthLabels:
    """Create the run-length encoded message of ids (H, W) uint16, typically under 1 % of the label image's size."""
    found = encode_runs(labels)
    ids, lengths = array("H"), array("I")
    for values, runs in zip((ids, lengths), found, strict=True):
        values.frombytes(runs.tobytes())
    return RunLengthLabels(header=header, height=labels.shape[0], width=labels.shape[1], ids=ids, lengths=lengths)


def label_info(header: Header, categories: Iterable[Category]) -> LabelInfo:
    """Create the vision_msgs message with the names of the ids in a semantic image."""
    class_map = [VisionClass(class_id=c.id, class_name=c.name) for c in categories]
    return LabelInfo(header=header, class_map=class_map)


def detections_message(header: Header, result: PanopticResult) -> Detection2DArray:
    """Create the vision_msgs message of the things, in the order of their segments.

    Class ids are category ids, and the ids of detections are those of their tracks, or empty.
    """
    things = [_detection(header, segment) for segment in result.segments if segment.category.is_thing]
    return Detection2DArray(header=header, detections=things)


def _detection(header: Header, segment: Segment) -> Detection2D:
    x, y, width, height = segment.box
    # Pixel centres are at integer coordinates, as for centroids.
    center = Point2D(x=x + (width - 1) / 2, y=y + (height - 1) / 2)
    hypothesis = ObjectHypothesis(class_id=str(segment.category.id), score=segment.score)
    return Detection2D(
        header=header,
        id=str(segment.track_id or ""),
        results=[ObjectHypothesisWithPose(hypothesis=hypothesis)],
        bbox=BoundingBox2D(center=Pose2D(position=center), size_x=float(width), size_y=float(height)),
    )


def _segment(segment: Segment) -> PanopticSegment:
    x, y, width, height = segment.box
    return PanopticSegment(
        id=segment.id,
        category_id=segment.category.id,
        category_name=segment.category.name,
        is_thing=segment.category.is_thing,
        score=segment.score,
        area=segment.area,
        box=RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height),
        centroid=Point32(x=segment.centroid[0], y=segment.centroid[1]),
        track_id=segment.track_id,
    )
