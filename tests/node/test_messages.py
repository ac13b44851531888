# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Messages of results: lossless run lengths, detections with the segments' categories and boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from std_msgs.msg import Header

from ciae_ros.inference import PanopticResult, Segment, coco_categories
from ciae_ros.node.publishing.messages import Detection2DArray, detections_message, run_length_labels, segments_message

CATEGORIES = coco_categories()
HEADER = Header(frame_id="front")


def result() -> PanopticResult:
    """A stuff segment around a thing."""
    labels = np.ones((10, 20), np.uint16)
    labels[2:5, 4:10] = 2
    return PanopticResult(
        labels,
        (
            Segment(1, CATEGORIES.stuff[3], 1.0, 182, (0, 0, 20, 10), (9.7, 4.6)),
            Segment(2, CATEGORIES.things[0], 0.75, 18, (4, 2, 6, 3), (6.5, 3.0)),
        ),
    )


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((3, 4), np.uint16),
        np.arange(12, dtype=np.uint16).reshape(3, 4),
        np.random.default_rng(0).integers(0, 3, (37, 53), np.uint16),
        np.full((1, 1), 65535, np.uint16),
        result().label_map,
    ],
    ids=["one run", "all runs of one pixel", "noise", "one pixel", "two segments"],
)
def test_run_lengths_give_the_label_image_back(labels: np.ndarray) -> None:
    message = run_length_labels(HEADER, labels)
    restored = np.repeat(message.ids, message.lengths).reshape(message.height, message.width)
    assert np.array_equal(restored, labels)
    assert np.all(np.diff(np.asarray(message.ids, int)) != 0), "runs that could be one"
    assert message.header.frame_id == "front"


def test_segments_message_describes_each_segment() -> None:
    message = segments_message(HEADER, result(), "model")
    stuff, thing = message.segments
    assert (message.height, message.width, message.model) == (10, 20, "model")
    assert (stuff.id, stuff.is_thing, stuff.category_name) == (1, False, CATEGORIES.stuff[3].name)
    assert (thing.id, thing.category_id, thing.area) == (2, CATEGORIES.things[0].id, 18)
    assert (thing.box.x_offset, thing.box.y_offset, thing.box.width, thing.box.height) == (4, 2, 6, 3)
    assert thing.score == pytest.approx(0.75)


@pytest.mark.skipif(Detection2DArray is None, reason="needs vision_msgs, which a ROS distribution has")
def test_detections_are_the_things() -> None:
    (detection,) = detections_message(HEADER, result()).detections
    assert detection.id == "", "it is not tracked"
    assert detection.results[0].hypothesis.class_id == str(CATEGORIES.things[0].id)
    assert detection.results[0].hypothesis.score == pytest.approx(0.75)
    assert (detection.bbox.size_x, detection.bbox.size_y) == (6.0, 3.0)
    # Pixels 4 to 9 and 2 to 4.
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (6.5, 3.0)


@pytest.mark.skipif(Detection2DArray is None, reason="needs vision_msgs")
def test_the_id_of_a_detection_is_that_of_its_track() -> None:
    found = result()
    tracked = replace(found, segments=tuple(replace(one, track_id=70_001) for one in found.segments))
    (detection,) = detections_message(HEADER, tracked).detections
    assert detection.id == "70001"
    assert [one.track_id for one in segments_message(HEADER, tracked, "model").segments] == [70_001, 70_001]
