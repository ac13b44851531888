# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Many late subscribers on a busy machine: each is discovered and receives its messages."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rclpy
from ciae_msgs.msg import RunLengthLabels
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from ciae_ros.node.panoptic_node import PanopticNode
from tests.node.harness import Client, node_in_this_process

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
TOPIC = "/panoptic_node/labels/run_lengths"
JOINS = 10
"""Number of joins of each kind."""
AT_ONCE = 5
TIMEOUT = 60.0
"""Seconds for a join."""


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """Run processes that use all CPU time."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


@pytest.fixture
def segmenting_node(client: Client, busy_machine: None) -> Iterator[PanopticNode]:
    """A node that receives an image every 30 ms."""
    ended = threading.Event()

    def publish() -> None:
        while not ended.wait(0.03):
            client.publish(IMAGE, time.time_ns())

    with node_in_this_process() as node:
        client.wait_for_results()
        thread = threading.Thread(target=publish)
        thread.start()
        yield node
        ended.set()
        thread.join()


def known_subscribers(node: PanopticNode) -> str:
    (stream,) = node._streams.values()
    matched = stream.publisher._run_lengths.get_subscription_count()
    return f"the node's graph has {node.count_subscribers(TOPIC)} subscriptions, its publisher {matched}"


def join(node: PanopticNode, subscriber: Node, executor: SingleThreadedExecutor) -> None:
    """Subscribe, wait for a message, and leave."""
    received: list[RunLengthLabels] = []
    subscription = subscriber.create_subscription(RunLengthLabels, TOPIC, received.append, 10)
    end = time.monotonic() + TIMEOUT
    while not received:
        assert time.monotonic() < end, known_subscribers(node)
        executor.spin_once(timeout_sec=0.05)
    assert sum(received[0].lengths) == IMAGE.shape[0] * IMAGE.shape[1]
    subscriber.destroy_subscription(subscription)


def test_late_subscriptions_of_a_participant_that_is_known(segmenting_node: PanopticNode, ros: None) -> None:
    subscriber, executor = Node("late"), SingleThreadedExecutor()
    executor.add_node(subscriber)
    for _ in range(JOINS):
        join(segmenting_node, subscriber, executor)
    executor.shutdown()
    subscriber.destroy_node()


def test_late_participants(segmenting_node: PanopticNode) -> None:
    def join_with_separate_participant(number: int) -> None:
        context = rclpy.Context()
        rclpy.init(context=context)
        subscriber, executor = Node(f"late_{number}", context=context), SingleThreadedExecutor(context=context)
        executor.add_node(subscriber)
        try:
            join(segmenting_node, subscriber, executor)
        finally:
            executor.shutdown()
            subscriber.destroy_node()
            rclpy.shutdown(context=context)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert len(list(pool.map(join_with_separate_participant, range(JOINS)))) == JOINS
