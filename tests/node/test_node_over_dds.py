# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Results of the running node over DDS: stamps, overlays, invalid input."""

from __future__ import annotations

import subprocess
import time
from array import array

import numpy as np
import pytest
from ciae_msgs.msg import RunLengthLabels
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image

from tests.node.harness import Client, header, nanoseconds

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def publish_next(client: Client) -> bool:
    """Publish an image with a unique stamp; returns True, for use in conditions."""
    client.publish(IMAGE, time.time_ns())
    return True


def test_results_have_the_stamp_and_describe_the_labels(client: Client, node: subprocess.Popen[str]) -> None:
    client.wait_until_active(node)
    stamp = 1_234_567_890_123_456_789
    client.publish(IMAGE, stamp)
    client.wait(lambda: stamp in client.labels and stamp in client.segments)
    labels, table = client.labels[stamp], client.segments[stamp]
    assert labels.header == table.header == header(stamp)
    assert (labels.encoding, labels.height, labels.width) == ("16UC1", 60, 80)
    ids = np.frombuffer(labels.data, np.uint16).reshape(60, 80)
    assert (table.height, table.width, table.model) == (60, 80, "light_512 (untrained)")
    assert [segment.id for segment in table.segments] == list(range(1, len(table.segments) + 1))
    for segment in table.segments:
        y, x = np.nonzero(ids == segment.id)
        assert segment.area == len(x)
        assert (segment.box.x_offset, segment.box.y_offset) == (x.min(), y.min())
        assert (segment.box.width, segment.box.height) == (np.ptp(x) + 1, np.ptp(y) + 1)
        assert segment.centroid.x == pytest.approx(x.mean(), abs=1e-3)


def test_overlays_are_published_only_with_a_subscriber(client: Client, node: subprocess.Popen[str]) -> None:
    client.wait_until_active(node)
    client.subscribe_to_overlay()
    client.wait(lambda: publish_next(client) and client.overlays and client.semantics)
    overlay, semantic = next(iter(client.overlays.values())), next(iter(client.semantics.values()))
    assert (overlay.encoding, overlay.height, overlay.width) == ("bgr8", 60, 80)
    assert (semantic.encoding, semantic.height, semantic.width) == ("16UC1", 60, 80)


def test_bad_messages_are_dropped_counted_and_survived(client: Client, node: subprocess.Popen[str]) -> None:
    client.wait_until_active(node)
    before = client.counts.get("dropped, wrong length", "0")
    for broken in (
        Image(height=60, width=80, encoding="bgr8", step=240, data=array("B", bytes(7))),
        Image(height=60, width=80, encoding="no such encoding", step=240, data=array("B", bytes(60 * 240))),
        Image(encoding="rgb8"),
    ):
        client.images.publish(broken)
        time.sleep(0.3)
    client.publish(IMAGE, 42)
    client.wait(lambda: 42 in client.labels)
    client.wait(lambda: client.counts.get("dropped, wrong length", "0") != before)
    client.wait(lambda: "dropped, unknown encoding" in client.counts and "dropped, empty" in client.counts)
    assert node.poll() is None


def test_label_info_names_the_categories_to_whoever_comes_later(client: Client, node: subprocess.Popen[str]) -> None:
    vision_msgs = pytest.importorskip("vision_msgs.msg", reason="needs vision_msgs, which a ROS distribution has")
    client.wait_until_active(node)
    received: list[object] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    client.create_subscription(vision_msgs.LabelInfo, "/panoptic_node/label_info", received.append, latched)
    client.wait(lambda: received)
    names = {entry.class_id: entry.class_name for entry in received[0].class_map}
    assert len(names) == 133
    assert names[1] == "person"


def test_detections_belong_to_the_segments(client: Client, node: subprocess.Popen[str]) -> None:
    vision_msgs = pytest.importorskip("vision_msgs.msg", reason="needs vision_msgs, which a ROS distribution has")
    client.wait_until_active(node)
    received: list[object] = []
    client.create_subscription(vision_msgs.Detection2DArray, "/panoptic_node/detections", received.append, 10)
    assert client.set_parameters_of_node(score_threshold=0.0) == [""]
    client.wait(lambda: publish_next(client) and received)
    array = received[0]
    stamp = nanoseconds(array.header)
    client.wait(lambda: stamp in client.segments)
    things = [segment for segment in client.segments[stamp].segments if segment.is_thing]
    assert things
    for detection, segment in zip(array.detections, things, strict=True):
        assert detection.id == str(segment.track_id), "trackers expect the same object in every message"
        assert detection.results[0].hypothesis.class_id == str(segment.category_id)
        assert (detection.bbox.size_x, detection.bbox.size_y) == (segment.box.width, segment.box.height)


def test_run_lengths_are_the_labels(client: Client, node: subprocess.Popen[str]) -> None:
    client.wait_until_active(node)
    received: list[RunLengthLabels] = []
    client.create_subscription(RunLengthLabels, "/panoptic_node/labels/run_lengths", received.append, 10)
    client.wait(lambda: publish_next(client) and received)
    message = received[0]
    stamp = nanoseconds(message.header)
    client.wait(lambda: stamp in client.labels)
    labels = np.frombuffer(client.labels[stamp].data, np.uint16)
    assert np.array_equal(np.repeat(message.ids, message.lengths), labels)
