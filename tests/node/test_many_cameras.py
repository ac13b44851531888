# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Several cameras on one network: each gets its own results, and none is affected by another."""

from __future__ import annotations

import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ciae_ros.node.panoptic_node import PanopticNode
from tests.node.harness import Client, delay_network, header, node_in_this_process, wait_together

TOPICS = ["/front/image_raw", "/rear/image_raw/compressed", "/side/image_raw"]
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), np.uint8)


@pytest.fixture(scope="module")
def node(ros: None) -> Iterator[PanopticNode]:
    with node_in_this_process(cameras=TOPICS, diagnostics__stale_after=1.5) as node:
        yield node


@pytest.fixture
def cameras(node: PanopticNode) -> Iterator[list[Client]]:
    names = ("front", "rear", "side")
    clients = [
        Client(compressed=topic.endswith("compressed"), topic=topic, outputs=f"/panoptic_node/{name}")
        for topic, name in zip(TOPICS, names, strict=True)
    ]
    for client in clients:
        client.wait_for_results()
    yield clients
    for client in clients:
        client.destroy_node()


def send(client: Client, pixels: np.ndarray, stamp: int) -> None:
    if client.images.msg_type is CompressedImage:
        data = cv2.imencode(".png", pixels)[1].tobytes()
        client.images.publish(CompressedImage(header=header(stamp), format="png", data=data))
    else:
        client.publish(pixels, stamp)


def label_map(message: Image) -> np.ndarray:
    return np.frombuffer(message.data, np.uint16).reshape(message.height, message.width)


def test_each_camera_has_its_results_in_its_namespace(cameras: list[Client], node: PanopticNode) -> None:
    for index, client in enumerate(cameras):
        send(client, IMAGES[index], 10 + index)
    wait_together(cameras, lambda: all(10 + index in client.segments for index, client in enumerate(cameras)))
    wait_together(cameras, lambda: all(10 + index in client.labels for index, client in enumerate(cameras)))
    assert node._predictor is not None
    for index, client in enumerate(cameras):
        assert set(client.labels) == {10 + index}
        alone = node._predictor.predict(IMAGES[index], "bgr").label_map
        assert (label_map(client.labels[10 + index]) == alone).mean() > 0.99


def test_a_camera_that_misbehaves_affects_no_other(cameras: list[Client]) -> None:
    """The rear camera sends corrupt data, other sizes and encodings; every image of the others is segmented."""
    front, rear, side = cameras
    random = np.random.default_rng(1)
    jpeg = cv2.imencode(".jpg", IMAGES[1])[1].tobytes()
    for stamp in range(100, 130):
        for _ in range(10):
            size = int(random.integers(1, 200))
            other = cv2.imencode(".png", np.zeros((size, 2 * size), np.uint8))[1].tobytes()
            data = [b"", jpeg[: random.integers(len(jpeg))], jpeg, other][random.integers(4)]
            rear.images.publish(CompressedImage(header=header(stamp), format="jpeg", data=data))
        # Neither can be superseded: the next one is sent after the result of this one.
        while without_result := [client for client in (front, side) if stamp not in client.labels]:
            for client in without_result:
                send(client, IMAGES[0], stamp)
            until = time.monotonic() + 2.0  # Where images may be lost on their way, they are sent again.
            wait_together(
                cameras,
                lambda stamp=stamp, until=until: (
                    time.monotonic() > until or all(stamp in client.labels for client in (front, side))
                ),
            )
    wait_together(cameras, lambda: int(rear.counts.get("dropped, undecodable", 0)) > 10)
    assert len(rear.labels) > 5


def test_a_silent_camera_is_stale_and_the_node_is_not(cameras: list[Client]) -> None:
    front, _, side = cameras

    def others_send() -> bool:
        for client in cameras[:2]:
            send(client, IMAGES[0], time.time_ns())
        status = front.statuses.get("/panoptic_node: camera side")
        return status is not None and status.level == status.STALE

    wait_together(cameras, others_send)
    status = front.statuses["/panoptic_node: camera side"]
    assert "no image for" in status.message
    assert "the publisher of /side/image_raw sends nothing" in status.message
    levels = {name: front.statuses[f"/panoptic_node: {name}"].level for name in ("node", "camera front")}
    assert levels == {"node": status.OK, "camera front": status.OK}
    send(side, IMAGES[0], 5)
    wait_together(cameras, lambda: front.statuses["/panoptic_node: camera side"].level == status.OK)


def test_maximum_rate_can_be_set_at_run_time_and_counts_drops(cameras: list[Client]) -> None:
    front = cameras[0]
    assert front.set_parameters_of_node(max_rate=5.0) == [""]
    try:
        front.labels.clear()
        start = time.monotonic()

        def enough_were_dropped() -> bool:
            send(front, IMAGES[0], time.time_ns())
            return int(front.counts.get("dropped, over rate", 0)) > 50 and len(front.labels) >= 3

        # Independent of the load: images are sent until enough were dropped, and compared with the elapsed time.
        front.wait(enough_were_dropped)
        # As many as the rate admits, and one at the start and at the end.
        assert len(front.labels) <= 5 * (time.monotonic() - start) + 2
    finally:
        assert front.set_parameters_of_node(max_rate=0.0) == [""]


def test_frames_that_are_too_old_are_dropped_as_stale(cameras: list[Client]) -> None:
    front = cameras[0]
    assert front.set_parameters_of_node(max_age=2.0) == [""]
    try:
        old, new = time.time_ns() - 10 * 10**9, time.time_ns()
        send(front, IMAGES[0], old)
        front.wait(lambda: "dropped, stale" in front.counts)
        send(front, IMAGES[0], new)
        front.wait(lambda: new in front.labels)
        assert old not in front.labels
        # A fault of the camera, so the diagnostics report it.
        assert "could not be used (in all: stale" in front.statuses["/panoptic_node: camera front"].message
    finally:
        front.set_parameters_of_node(max_age=0.0)


def test_a_broken_latency_budget_is_reported(cameras: list[Client]) -> None:
    front = cameras[0]
    assert front.set_parameters_of_node(latency_budget=0.0001) == [""]
    try:
        send(front, IMAGES[0], 77)
        front.wait(lambda: front.counts.get("over latency budget", "0") != "0")
        assert "took longer than 0.0001 s" in front.statuses["/panoptic_node: camera front"].message
    finally:
        front.set_parameters_of_node(latency_budget=0.0)


def test_changed_thresholds_count_from_the_next_frame_on(cameras: list[Client]) -> None:
    front = cameras[0]
    send(front, IMAGES[0], 100)
    front.wait(lambda: 100 in front.segments)
    assert front.set_parameters_of_node(min_stuff_area=4, score_threshold=0.01, max_instances=7) == [""] * 3
    send(front, IMAGES[0], 101)
    front.wait(lambda: 101 in front.segments)
    assert front.set_parameters_of_node(min_stuff_area=10_000, score_threshold=1.0) == [""] * 2
    send(front, IMAGES[0], 102)
    front.wait(lambda: 102 in front.segments)
    assert front.set_parameters_of_node(min_stuff_area=-1, score_threshold=-1.0, max_instances=-1) == [""] * 3
    send(front, IMAGES[0], 103)
    front.wait(lambda: 103 in front.segments)
    things = [sum(segment.is_thing for segment in front.segments[stamp].segments) for stamp in (101, 102)]
    assert 0 < things[0] <= 7
    assert things[1] == 0
    assert not front.segments[102].segments
    assert front.segments[103].segments == front.segments[100].segments


def test_other_parameters_refuse_with_the_reason(cameras: list[Client]) -> None:
    reasons = cameras[0].set_parameters_of_node(model="other", cameras=["/x"], overlay__opacity=2.0)
    assert reasons[0] == "model can be set only while the node is unconfigured: clean it up first"
    assert reasons[1].startswith("cameras can be set only while the node is unconfigured")
    assert "overlay.opacity" in reasons[2]


def test_calibration_is_passed_on_under_the_frames_header(cameras: list[Client]) -> None:
    front = cameras[0]
    received: list[CameraInfo] = []
    front.create_subscription(CameraInfo, "/panoptic_node/front/camera_info", received.append, 10)
    publisher = front.create_publisher(CameraInfo, "/front/camera_info", 10)
    info = CameraInfo(height=120, width=160, binning_x=2, binning_y=2)
    info.k = [100.0, 0.0, 79.5, 0.0, 100.0, 59.5, 0.0, 0.0, 1.0]

    def passed_on() -> bool:
        publisher.publish(info)
        send(front, IMAGES[0], time.time_ns())
        return bool(received)

    front.wait(passed_on)
    assert received[0].header.stamp != info.header.stamp
    info.header = received[0].header
    assert received[0] == info


def test_stages_add_up_to_the_frame(cameras: list[Client]) -> None:
    front = cameras[0]
    send(front, IMAGES[0], 7)
    front.wait(lambda: "frame p50 p90 p99 mean [ms]" in front.counts)
    means = {key.split()[0]: float(front.counts[key].split()[3]) for key in front.counts if key.endswith("[ms]")}
    frame = means.pop("frame")
    assert set(means) == {"wait", "convert", "preprocess", "network", "fusion", "tracking", "message", "publish"}
    assert sum(means.values()) == pytest.approx(frame, abs=0.04)


def test_waiting_frames_form_a_batch_with_the_same_results(ros: None) -> None:
    batches: list[int] = []
    with node_in_this_process(cameras=["/a", "/b"], max_batch=2) as node:
        predictor = node._predictor
        assert predictor is not None
        alone = [predictor.predict(image, "bgr").label_map for image in IMAGES[:2]]
        delay_network(node, 0.1, batches)
        clients = [Client(topic=f"/{name}", outputs=f"/panoptic_node/{name}") for name in "ab"]
        for client in clients:
            client.wait_for_results()
        stamp = 0
        while 2 not in batches:
            stamp += 1
            for client, image in zip(clients, IMAGES[:2], strict=True):
                client.publish(image, stamp)
            wait_together(clients, lambda now=stamp: all(now in client.segments for client in clients))
        wait_together(clients, lambda: all(stamp in client.labels for client in clients))
        for client, expected in zip(clients, alone, strict=True):
            assert (label_map(client.labels[stamp]) == expected).mean() > 0.99
            client.destroy_node()


def test_labels_at_the_networks_resolution(ros: None) -> None:
    with node_in_this_process(labels_resolution="network", input_size=64):
        client = Client()
        client.wait_for_results()
        client.subscribe_to_overlay()

        def all_there() -> bool:
            client.publish(np.zeros((240, 320, 3), np.uint8), time.time_ns())
            return bool(client.labels and client.segments and client.overlays)

        client.wait(all_there)
        for messages in (client.labels, client.segments, client.overlays):
            last = list(messages.values())[-1]
            assert (last.height, last.width) == (64, 85)
        client.destroy_node()
