# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Thousands of malformed messages: each is segmented or dropped with a reason, without failures or leaks."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from ciae_ros.camera.camera_image import CameraImage, UnusableImageError
from ciae_ros.camera.image_conversion import ENCODINGS, convert_image
from ciae_ros.camera.image_decoding import decode_image
from ciae_ros.core.processes import stop
from tests.node.harness import SMALL, Client, start_node, wait_together
from tests.node.odd_messages import compressed_images, raw_images

CONVERSIONS = int(os.environ.get("FUZZ_MESSAGES", "2500"))
OVER_DDS = CONVERSIONS // 5
DEEP = QoSProfile(depth=500)
REASONS = {
    "empty",
    "too small",
    "too large",
    "odd size",
    "short step",
    "wrong length",
    "unknown encoding",
    "undecodable",
}
ODD = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck), print_blob=False
)


def convert(message: Image | CompressedImage, outcomes: Counter[str]) -> None:
    try:
        image = decode_image(message) if isinstance(message, CompressedImage) else convert_image(message)
    except UnusableImageError as error:
        outcomes[error.kind] += 1
        return
    outcomes["converted"] += 1
    check(image)
    if isinstance(message, Image):
        assert image.pixels.shape[:2] == (message.height, message.width)
        assert message.encoding in ENCODINGS


def check(image: CameraImage) -> None:
    height, width, channels = image.pixels.shape
    assert image.pixels.dtype == np.uint8
    assert height * width > 0
    assert channels == 1 if image.channel_order == "mono" else channels >= 3
    assert image.to_bgr().shape == (height, width, 3)


def test_odd_messages_are_converted_or_refused_with_a_reason_and_nothing_is_kept_of_them() -> None:
    outcomes, samples = Counter[str](), []

    def convert_and_keep_some(message: Image | CompressedImage) -> None:
        convert(message, outcomes)
        if outcomes.total() % 20 == 0:
            samples.append(message)

    settings(ODD, max_examples=CONVERSIONS * 7 // 8)(given(message=raw_images())(convert_and_keep_some))()
    settings(ODD, max_examples=CONVERSIONS // 4)(given(message=compressed_images())(convert_and_keep_some))()
    # The generator is effective: every reason occurs, and so do usable images.
    assert set(outcomes) == {*REASONS, "converted"}, outcomes
    assert outcomes.total() >= CONVERSIONS
    assert outcomes["converted"] > CONVERSIONS / 20
    assert len(samples) > CONVERSIONS / 25
    process, resident = psutil.Process(), []
    for _ in range(6):
        for message in samples:
            convert(message, Counter())
        resident.append(process.memory_info().rss)
    assert resident[5] - resident[1] < 5 * 2**20, f"resident bytes after each round: {resident}"


@pytest.fixture(scope="module")
def fuzzed_node(ros: None) -> Iterator[subprocess.Popen[str]]:
    process = start_node(
        **SMALL,
        cameras="[/raw/image, /packed/image/compressed]",
        **{"qos.input_reliability": "reliable", "qos.input_depth": "100"},
    )
    yield process
    assert stop(process) == 0
    assert process.stdout is not None
    assert "Traceback" not in process.stdout.read()


def test_odd_messages_over_dds_are_all_accounted_for(fuzzed_node: subprocess.Popen[str]) -> None:
    raw = Client(topic="/raw/image", outputs="/panoptic_node/raw")
    packed = Client(compressed=True, topic="/packed/image/compressed", outputs="/panoptic_node/packed")
    clients = [raw, packed]
    for client in clients:
        topic, kind = client.images.topic_name, client.images.msg_type
        client.destroy_publisher(client.images)
        client.images = client.create_publisher(kind, topic, DEEP)
        client.wait_until_active(fuzzed_node)
    # A discovery image may still be in flight and would be counted too.
    time.sleep(2.0)
    assert raw.call("reset_statistics", Trigger, Trigger.Request()).success
    sent = [0, 0]
    memory: list[int] = []
    node = psutil.Process(fuzzed_node.pid)

    def send(index: int, message: Image | CompressedImage) -> None:
        clients[index].images.publish(message)
        sent[index] += 1
        # As fast as the node reads, so that the middleware has no reason to drop any.
        time.sleep(0.003)

    @settings(ODD, max_examples=OVER_DDS // 4)
    @given(message=raw_images())
    def send_raw(message: Image) -> None:
        send(0, message)

    @settings(ODD, max_examples=OVER_DDS // 4)
    @given(message=compressed_images())
    def send_packed(message: CompressedImage) -> None:
        send(1, message)

    for part in (send_raw, send_packed, send_raw, send_packed):
        part()
        memory.append(node.memory_info().rss)
    assert sum(sent) >= OVER_DDS
    assert fuzzed_node.poll() is None

    def all_accounted_for() -> bool:
        return all(
            client.counts.get("received") == str(number) and client.counts["unfinished"] == "0"
            for client, number in zip(clients, sent, strict=True)
        )

    wait_together(clients, all_accounted_for, timeout=30)
    for client in clients:
        dropped = {key.removeprefix("dropped, ") for key in client.counts if key.startswith("dropped")}
        assert dropped <= REASONS | {"superseded", "stamp in the future"}
        assert len(dropped) >= 2
        client.labels.clear()
        client.arrivals.clear()
        client.wait_until_active(fuzzed_node)
        client.destroy_node()
    # The second half repeats the first: no message is leaked.
    assert memory[3] - memory[1] < 20 * 2**20, f"resident bytes after each part: {memory}"
