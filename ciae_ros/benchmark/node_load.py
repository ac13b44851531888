# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`node`: the running node under load; cameras are processes of their own, at rates up to twice what it can do.

The method is ros2_benchmark's: the highest rate is the one at which fewer than one in twenty images get no answer.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import rclpy
import torch
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from ciae_ros.benchmark.camera import smooth_scene
from ciae_ros.benchmark.options import Run, positive
from ciae_ros.benchmark.results import Results, markdown_table, number_cell
from ciae_ros.core.processes import environment_of_this_process, isolated_ros_environment, stop
from ciae_ros.inference import Predictor, load_model
from ciae_ros.inference.stage_times import HostClock

TOLERATED_DROPS = 0.05
SHARES_OF_CAPACITY = 0.5, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0
BISECTIONS = 4
START_TIMEOUT = 180.0
ANSWER_TIMEOUT = 30.0
"""Seconds; a busy machine starts a process slowly."""

FLOOD = 1.5
"""Times the bare network's rate, to find the capacity."""


@dataclass(frozen=True)
class Network:
    """What the node runs; its parameters of the same names."""

    model: str
    device: str
    precision: str
    input_size: int
    """0: the model's."""


@dataclass(frozen=True)
class Load:
    """What became of the images of one rate."""

    cameras: int
    offered_rate: float
    """Images per second of all cameras together."""
    throughput: float
    """Answers per second of all cameras together."""
    drop_share: float
    """Of the images sent, those without an answer, 0 to 1."""
    p50: float
    """Seconds from an image's stamp to its labels' arrival in another process."""
    p99: float


@dataclass(frozen=True)
class NodeBenchmark:
    """One node with one number of cameras of one size."""

    model: str
    size: tuple[int, int]
    """(width, height)."""
    cameras: int
    network_rate: float
    """Images per second of the bare network (proposals and fusion included), alone on the device, in this run."""
    loads: list[Load]
    """The first one floods the node: its throughput is the capacity."""
    highest_rate: float
    """Of all cameras together, with fewer drops than `TOLERATED_DROPS`; 0 if there was none."""

    @property
    def capacity(self) -> float:
        """Answers per second at saturation."""
        return self.loads[0].throughput


NOTES = [
    "Cameras, node and listener are processes over DDS on one machine, whose processor they share; latency is from an "
    "image's stamp to its labels in the listener; a drop is an image without an answer.",
    "All images are one smooth scene.",
    "The bare network is network, proposals and fusion of one image after the other, alone on the device, before the "
    "node is started. Capacity: answers a second when 1.5 times as many images are offered.",
    "Highest rate: found by bisection, with fewer than 5 % drops.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of this subcommand."""
    add = parser.add_argument
    add("--model", default="untrained/light_512", help="as the node's parameter (default: untrained/light_512)")
    add("--input-size", type=positive, help="shorter side in the network (default: the model's)")
    add("--cameras", type=positive, nargs="+", default=[1, 2, 4, 8], metavar="N", help="default: 1 2 4 8")
    add("--sizes", nargs="+", default=["1280x720", "1920x1080"], metavar="WxH", help="default: 1280x720 1920x1080")
    add("--seconds", type=float, default=10.0, help="that each load lasts, whatever --rounds says (default: 10)")


def run(options: argparse.Namespace, run_of: Run) -> Results:
    """Measure."""
    rows = []
    network = Network(options.model, options.device, options.precision, options.input_size or 0)
    with isolated_ros_environment() as environment, environment_of_this_process(environment):
        rclpy.init()
        for text in options.sizes:
            width, height = map(int, text.split("x"))
            for cameras in options.cameras:
                found = measure_node(network, (width, height), cameras, options.seconds, dict(os.environ))
                rows.append(asdict(found) | {"capacity": found.capacity})
        rclpy.try_shutdown()
    parameters = {"model": options.model, "input_size": options.input_size, "seconds": options.seconds}
    return Results("node", run_of.conditions, parameters, rows, NOTES)


def table(results: Results) -> str:
    """One line for each number of cameras of each size, and one for each load."""
    summary = markdown_table(
        ["images", "cameras", "bare network, 1/s", "capacity, 1/s", "capacity : bare", "highest rate, 1/s"],
        [
            [
                f"{row['size'][0]} x {row['size'][1]}",
                str(row["cameras"]),
                number_cell(row["network_rate"]),
                number_cell(row["capacity"]),
                number_cell(row["capacity"] / row["network_rate"], 2),
                number_cell(row["highest_rate"]),
            ]
            for row in results.rows
        ],
    )
    loads = markdown_table(
        ["images", "cameras", "offered, 1/s", "answered, 1/s", "dropped", "p50, ms", "p99, ms"],
        [
            [
                f"{row['size'][0]} x {row['size'][1]}",
                str(row["cameras"]),
                number_cell(load["offered_rate"]),
                number_cell(load["throughput"]),
                f"{100 * load['drop_share']:.0f} %",
                number_cell(1e3 * load["p50"], 0),
                number_cell(1e3 * load["p99"], 0),
            ]
            for row in results.rows
            for load in row["loads"]
        ],
    )
    return f"{summary}\n\n{loads}"


def measure_node(
    network: Network, size: tuple[int, int], cameras: int, seconds: float, environment: dict[str, str]
) -> NodeBenchmark:
    """Start a node and cameras and measure all loads.

    Args:
        network: that the node runs.
        size: (width, height) of the images.
        cameras: how many.
        seconds: that each load lasts.
        environment: of a ROS domain that nobody else uses; this process's ROS must be in it.

    Raises:
        ValueError: node or cameras do not start, or end.
    """
    topics = [f"/benchmark/camera{number}/image_raw" for number in range(cameras)]
    network_rate = bare_network_rate(network, size, seconds)
    with _node(network, size, topics, environment) as node, _cameras(topics, size, node, environment) as sources:
        # Half a second for each way of finding one another that is left.
        time.sleep(1.0)
        sources.load(network_rate, 2.0)
        loads = [sources.load(FLOOD * network_rate, seconds)]
        capacity = loads[0].throughput
        loads += [sources.load(share * capacity, seconds) for share in SHARES_OF_CAPACITY]
        highest = _highest_rate(sources, capacity, seconds)
    return NodeBenchmark(network.model, size, cameras, network_rate, loads, highest)


def bare_network_rate(network: Network, size: tuple[int, int], seconds: float) -> float:
    """Images per second of network, proposals and fusion alone, one image at a time, in this process."""
    checkpoint = load_model(network.model)
    predictor = Predictor(checkpoint, network.device, network.precision, input_size=network.input_size or None)
    image = smooth_scene(*size)
    geometries = predictor.check_batch([(image, "bgr")])
    batch = predictor.preprocess([(torch.from_numpy(image).to(predictor.device), "bgr")], geometries)
    settings = predictor.settings_on_device(predictor.settings)
    count, start = -2, 0.0
    while count <= 0 or time.perf_counter() - start < seconds:
        if count == 0:
            start = time.perf_counter()
        predictor.compute(batch, geometries, settings, HostClock(predictor.device))
        count += 1
    return count / (time.perf_counter() - start)


def _highest_rate(sources: _Cameras, capacity: float, seconds: float) -> float:
    low, high = 0.0, 1.2 * capacity
    rate = 0.9 * capacity
    for _ in range(BISECTIONS):
        if sources.load(rate, seconds).drop_share < TOLERATED_DROPS:
            low = rate
        else:
            high = rate
        rate = (low + high) / 2
    return low


@contextmanager
def _node(
    network: Network, size: tuple[int, int], topics: Sequence[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    parameters: dict[str, object] = {
        "cameras": f"[{', '.join(topics)}]",
        "camera_names": f"[{', '.join(f'camera{number}' for number in range(len(topics)))}]",
        "expected_sizes": f"[{size[0]}x{size[1]}]",
        "diagnostics.status_period": 0.0,
    } | asdict(network)
    settings = [argument for name, value in parameters.items() for argument in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", "ciae_ros.node.panoptic_node", "--ros-args", *settings, "--log-level", "error"]
    process = subprocess.Popen(command, env=environment, text=True)
    try:
        yield process
    finally:
        stop(process)


@contextmanager
def _cameras(
    topics: Sequence[str], size: tuple[int, int], node: subprocess.Popen[str], environment: dict[str, str]
) -> Iterator[_Cameras]:
    command = [sys.executable, "-m", "ciae_ros.benchmark.camera"]
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
        sources = _Cameras(processes, node)
        stack.callback(sources.close)
        for process in processes:
            sources.number_from(process, START_TIMEOUT)
        yield sources


class _Cameras:
    """Camera processes, and a listener for the answers in this process."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]], node: subprocess.Popen[str]) -> None:
        self._processes, self._panoptic_node = processes, node
        self._node = Node(f"benchmark_listener_{os.getpid()}")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._latencies: list[float] = []
        self._arrivals: list[float] = []
        self._since = 0.0
        qos = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
        for number in range(len(processes)):
            self._node.create_subscription(Image, f"/panoptic_node/camera{number}/labels", self._take, qos)

    def close(self) -> None:
        """Listen no more."""
        self._executor.shutdown()
        self._node.destroy_node()

    def number_from(self, process: subprocess.Popen[str], timeout: float) -> int:
        """The next number that a camera prints.

        Raises:
            ValueError: none came within so many seconds, or a process has ended.
        """
        assert process.stdout is not None
        end = time.monotonic() + timeout
        while not select.select([process.stdout], [], [], 0.5)[0]:
            if self._panoptic_node.poll() is not None:
                raise ValueError("the node has ended; its message is above")
            if time.monotonic() > end:
                raise ValueError(f"a camera has said nothing for {timeout:.0f} s")
        line = process.stdout.readline()
        if not line:
            raise ValueError("a camera has ended; its message is above")
        return int(line)

    def load(self, rate: float, seconds: float) -> Load:
        """Have all cameras together publish at this rate, and see what comes back."""
        # Answers to the last load's images are not this one's.
        self._spin(until=time.monotonic() + 1.0)
        self._latencies, self._arrivals, self._since = [], [], time.time()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{rate / len(self._processes)} {seconds}\n")
            process.stdin.flush()
        start = time.monotonic()
        self._spin(until=start + seconds)
        sent = sum(self.number_from(process, seconds + ANSWER_TIMEOUT) for process in self._processes)
        self._spin(until=time.monotonic() + 1.0)
        latencies = np.array(self._latencies) if self._latencies else np.array([np.nan])
        return Load(
            cameras=len(self._processes),
            offered_rate=rate,
            throughput=_rate(self._arrivals),
            drop_share=1 - len(self._latencies) / sent,
            p50=float(np.percentile(latencies, 50)),
            p99=float(np.percentile(latencies, 99)),
        )

    def _spin(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def _take(self, labels: Image) -> None:
        stamp = labels.header.stamp.sec + 1e-9 * labels.header.stamp.nanosec
        if stamp >= self._since:
            now = time.time()
            self._arrivals.append(now)
            self._latencies.append(now - stamp)


def _rate(times: list[float]) -> float:
    """Events per second, from the first to the last: a window's ends would count as much as a whole event."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
