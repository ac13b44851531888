# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Replayed bags: time from /clock, faster, slower, stopped, and restarted."""

from __future__ import annotations

import time

import numpy as np
import pytest
from rosgraph_msgs.msg import Clock

from tests.node.harness import Client, header, held_network, node_in_this_process

IMAGE = np.zeros((60, 80, 3), np.uint8)
SECOND = 10**9


class Bag:
    """Plays time and images with the stamps of that time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._clock = client.create_publisher(Clock, "/clock", 10)

    def play(self, start: float, end: float, images_per_second: float) -> list[int]:
        """Play as fast as the node segments; returns the stamps of the results."""
        stamps = [int(t * SECOND) for t in np.arange(start, end, 1 / images_per_second)]
        for stamp in stamps:
            self.show(stamp)
            until = time.monotonic() + 0.04
            self._client.wait(lambda until=until: time.monotonic() > until)
        return [stamp for stamp in stamps if stamp in self._client.labels]

    def show(self, stamp: int) -> None:
        self._clock.publish(Clock(clock=header(stamp).stamp))
        time.sleep(0.005)
        self._client.publish(IMAGE, stamp)


def test_a_restarted_bag_is_segmented_again_with_reset_limits(client: Client) -> None:
    with node_in_this_process(use_sim_time=True, max_rate=1.0, max_age=5.0):
        bag = Bag(client)

        def begins() -> bool:
            bag.show(1000 * SECOND)
            return bool(client.labels)

        client.wait(begins)
        # 20 s of the bag in 2 s of wall time: the rate is one per second of the bag.
        answered = bag.play(1001, 1021, images_per_second=3)
        assert 15 <= len(answered) <= 22
        client.labels.clear()
        answered = bag.play(1001, 1021, images_per_second=3)
        assert 15 <= len(answered) <= 22
        assert "dropped, stale" not in client.counts


def test_diagnostics_and_results_need_no_running_clock(client: Client) -> None:
    with node_in_this_process(use_sim_time=True):
        client.wait(lambda: "/panoptic_node: node" in client.statuses)
        client.wait_for_results()
        client.statuses.clear()
        client.wait(lambda: "/panoptic_node: node" in client.statuses)


def test_a_frame_that_waits_while_the_clock_jumps_back_is_dropped_and_counted(client: Client) -> None:
    with node_in_this_process(use_sim_time=True) as node:
        bag = Bag(client)

        def begins() -> bool:
            bag.show(1000 * SECOND)
            return bool(client.labels)

        client.wait(begins)
        client.wait(lambda: client.counts.get("segmented", "0") != "0" and client.counts["unfinished"] == "0")
        with held_network(node):
            # One in the network, at most one ready for it: the last of three waits, independent of the machine's speed.
            for second in (1001, 1002, 1003):
                received = int(client.counts["received"])
                bag.show(second * SECOND)
                client.wait(lambda received=received: int(client.counts["received"]) > received)
            bag._clock.publish(Clock(clock=header(10 * SECOND).stamp))
            client.wait(lambda: client.counts.get("dropped, clock jumped back") == "1")
        bag.show(11 * SECOND)
        client.wait(lambda: 11 * SECOND in client.labels)
        assert 1003 * SECOND not in client.labels


def test_a_stamp_far_in_the_future_is_refused_with_its_reason(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    with node_in_this_process():
        client.wait_for_results()
        now = time.time_ns()
        client.publish(IMAGE, now + 3600 * SECOND)
        client.wait(lambda: client.counts.get("dropped, stamp in the future") == "1")
        client.publish(IMAGE, now + 5 * SECOND)
        client.wait(lambda: now + 5 * SECOND in client.labels)
        assert client.set_parameters_of_node(max_future=0.0) == [""]
        client.publish(IMAGE, now + 3600 * SECOND)
        client.wait(lambda: now + 3600 * SECOND in client.labels)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "dropped a frame" in line]
    assert "ahead of the node's clock, more than max_future (60.0 s): compare the clocks" in line
