# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Camera processes that put a node under load, and a subscriber to its results in this process."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from ciae_ros.core.processes import stop

START_TIMEOUT = 180.0
RESPONSE_TIMEOUT = 30.0
"""Seconds, generous because a busy machine starts processes slowly."""


@dataclass(frozen=True)
class Load:
    """Results of a load."""

    cameras: int
    offered_rate: float
    """Images per second of all cameras together."""
    throughput: float
    """Results per second of all cameras together."""
    drop_share: float
    """Share of the sent images without a result, 0 to 1."""
    p50: float
    """Seconds from an image's stamp to the arrival of its labels in another process."""
    p99: float
    node_cores: float
    """Processor seconds of the node per second."""
    other_cores: float
    """Processor seconds of cameras and subscriber per second."""


@contextmanager
def cameras_for(
    topics: Sequence[str], size: tuple[int, int], node: subprocess.Popen[str], environment: dict[str, str]
) -> Iterator[Cameras]:
    command = [sys.executable, "-m", "benchmarks.node.camera"]
    with ExitStack() as stack:
        processes = []
        for topic in topics:
            process = subprocess.Popen(
                [*command, topic, str(size[0]), str(size[1])],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(stop, process)
            processes.append(process)
        sources = Cameras(processes, node)
        stack.callback(sources.close)
        for process in processes:
            sources.number_from(process, START_TIMEOUT)
        yield sources


class Cameras:
    """Camera processes, and a subscriber to the results in this process."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]], node: subprocess.Popen[str]) -> None:
        self._processes, self._panoptic_node = processes, node
        self._node = Node(f"benchmark_subscriber_{os.getpid()}")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._latencies: list[float] = []
        self._arrivals: list[float] = []
        self._since = 0.0
        qos = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
        for number in range(len(processes)):
            self._node.create_subscription(Image, f"/panoptic_node/camera{number}/labels", self._take, qos)

    def close(self) -> None:
        """Unsubscribe."""
        self._executor.shutdown()
        self._node.destroy_node()

    def number_from(self, process: subprocess.Popen[str], timeout: float) -> int:
        """Return the next number that a camera prints.

        Raises:
            ValueError: there was none within the timeout, or a process has exited.
        """
        assert process.stdout is not None
        end = time.monotonic() + timeout
        while not select.select([process.stdout], [], [], 0.5)[0]:
            if self._panoptic_node.poll() is not None:
                raise ValueError("the node has exited; its message is above")
            if time.monotonic() > end:
                raise ValueError(f"a camera has not responded within {timeout:.0f} s")
        line = process.stdout.readline()
        if not line:
            raise ValueError("a camera has exited; its message is above")
        return int(line)

    def load(self, rate: float, seconds: float) -> Load:
        """Publish with all cameras at a total rate, and measure the results."""
        # Results of the previous load do not count.
        self._spin(until=time.monotonic() + 1.0)
        self._latencies, self._arrivals, self._since = [], [], time.time()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{rate / len(self._processes)} {seconds}\n")
            process.stdin.flush()
        start, before = time.monotonic(), self._processor_seconds()
        self._spin(until=start + seconds)
        duration = time.monotonic() - start
        node, others = (
            (after - earlier) / duration for after, earlier in zip(self._processor_seconds(), before, strict=True)
        )
        sent = sum(self.number_from(process, seconds + RESPONSE_TIMEOUT) for process in self._processes)
        self._spin(until=time.monotonic() + 1.0)
        latencies = np.array(self._latencies) if self._latencies else np.array([np.nan])
        return Load(
            cameras=len(self._processes),
            offered_rate=rate,
            throughput=_rate(self._arrivals),
            drop_share=1 - len(self._latencies) / sent,
            p50=float(np.percentile(latencies, 50)),
            p99=float(np.percentile(latencies, 99)),
            node_cores=node,
            other_cores=others,
        )

    def _processor_seconds(self) -> tuple[float, float]:
        """Return the processor time so far of the node, and of cameras and subscriber."""
        others = sum(_processor_seconds(process.pid) for process in self._processes)
        return _processor_seconds(self._panoptic_node.pid), others + time.process_time()

    def _spin(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def _take(self, labels: Image) -> None:
        stamp = labels.header.stamp.sec + 1e-9 * labels.header.stamp.nanosec
        if stamp >= self._since:
            now = time.time()
            self._arrivals.append(now)
            self._latencies.append(now - stamp)


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process and all of its threads so far."""
    # The name, which may contain spaces, ends with a parenthesis; see proc_pid_stat(5).
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rate(times: list[float]) -> float:
    """Return the events per second from the first to the last event, independent of the ends of the window."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
