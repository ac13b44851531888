# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""1080p at 15 Hz between processes: exact stamps, newest frames only, flat latency, flat memory."""

from __future__ import annotations

import time

import numpy as np

from ciae_ros.core.processes import stop
from tests.node.harness import SMALL, Client, resident_megabytes, start_node

RATE, SECONDS = 15, 9
MAX_UNFINISHED = 5
"""Maximum number of images in the node: the newest, two in flight, one being published, and one between two counts."""


def test_a_1080p_stream_is_segmented_in_order_without_a_queue(client: Client, ros: None) -> None:
    process = start_node(**(SMALL | {"input_size": "256", "expected_sizes": "[1920x1080]"}))
    try:
        client.wait_until_active(process)
        image = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
        sent: list[int] = []
        memory: list[float] = []
        unfinished: set[int] = set()
        start = time.time()
        while len(sent) < RATE * SECONDS:
            stamp = time.time_ns()
            image[:8] = len(sent) % 256
            client.publish(image, stamp, encoding="rgb8")
            sent.append(stamp)
            if len(sent) % RATE == 0:
                memory.append(resident_megabytes(process))
                unfinished.add(int(client.counts.get("unfinished", 0)))
            next_time = start + len(sent) / RATE
            client.wait(lambda due=next_time: time.time() >= due)
        client.wait(lambda: int(client.counts.get("received", 0)) >= 0.95 * len(sent), 10)
        client.wait(
            lambda: (
                int(client.counts["segmented"]) + int(client.counts.get("dropped, superseded", 0))
                == int(client.counts["received"])
            ),
            10,
        )
    finally:
        stop(process)
    answered = sorted(client.labels)
    assert len(answered) > 5
    assert set(answered) <= set(sent), "a stamp that was never sent"
    assert answered == sorted(answered, key=lambda stamp: client.arrivals[stamp]), "an older frame after a newer one"
    assert max(unfinished) <= MAX_UNFINISHED, "the node keeps a queue"
    settled = memory[5:]
    assert max(settled) - min(settled) < 0.05 * max(settled) + 20, f"resident memory in MB: {memory}"
