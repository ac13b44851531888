# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`node`: the running node under load, with camera processes at rates up to twice its capacity.

The method is that of ros2_benchmark: the highest rate is the one with results for at least 19 of 20 images.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch

from benchmarks.harness.options import BenchmarkRun
from benchmarks.harness.predictor import add_backend_argument, build_predictor, describe_execution
from benchmarks.harness.results import Results, markdown_table, number_cell
from benchmarks.node.camera import smooth_scene
from benchmarks.node.camera_processes import Cameras, Load, cameras_for
from benchmarks.node.isolated_ros import isolated_ros
from ciae_ros.core.arguments import positive_int
from ciae_ros.core.processes import start_module, stop
from ciae_ros.inference import Predictor
from ciae_ros.inference.stage_times import HostClock

TOLERATED_DROPS = 0.05
SHARES_OF_CAPACITY = 0.5, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0
BISECTIONS = 4
FLOOD = 1.5
"""Factor on the rate of the bare network, to measure the capacity."""


@dataclass(frozen=True)
class NodeModel:
    """Parameters of the node with the same names."""

    model: str
    device: str
    backend: str
    precision: str
    input_size: int
    """Input size; 0: as in the model."""


@dataclass(frozen=True)
class NodeBenchmark:
    """Results of a node with a number of cameras of one size."""

    model: str
    size: tuple[int, int]
    """Width and height of the images."""
    cameras: int
    network: str
    """Runtime and precision of the bare network."""
    network_rate: float
    """Images per second of the bare network (with proposals and fusion), alone on the device, in this run."""
    available: float
    """Share of the processor that cameras and subscriber leave at saturation, 0 to 1; 1 for a network on a GPU."""
    loads: list[Load]
    """Loads; the first one floods the node, so that its throughput is the capacity."""
    highest_rate: float
    """Total rate of all cameras with fewer drops than `TOLERATED_DROPS`; 0 if there is none."""

    @property
    def capacity(self) -> float:
        """Return the results per second at saturation."""
        return self.loads[0].throughput

    @property
    def ratio(self) -> float:
        """Return the capacity relative to the bare network on what cameras and subscriber leave of the processor."""
        return self.capacity / (self.available * self.network_rate)


NOTES = [
    "Cameras, node and subscriber are processes over DDS that share one machine; latency is from an "
    "image's stamp to its labels in the subscriber; a drop is an image without a result.",
    "All images show a smooth scene.",
    "The bare network is network, proposals and fusion, one image at a time, alone on the device, before the node "
    "starts. Capacity: results per second when 1.5 times as many images are offered.",
    "Left: share of the processor that the other processes do not use at saturation, by their processor time. The last "
    "ratio is that to the bare network on this share.",
    "Highest rate: found by bisection, with fewer than 5 % drops.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add_backend_argument(parser)
    add = parser.add_argument
    add("--model", default="untrained/light_512", help="as the parameter of the node (default: untrained/light_512)")
    add("--input-size", type=positive_int, help="shorter side of the network's input (default: as in the model)")
    add("--cameras", type=positive_int, nargs="+", default=[1, 2, 4, 8], metavar="N", help="default: 1 2 4 8")
    add("--sizes", nargs="+", default=["1280x720", "1920x1080"], metavar="WxH", help="default: 1280x720 1920x1080")
    add("--seconds", type=float, default=10.0, help="duration of each load, independent of --rounds (default: 10)")


def run(options: argparse.Namespace, benchmark_run: BenchmarkRun) -> Results:
    """Run the benchmark."""
    rows = []
    network = NodeModel(options.model, options.device, options.backend, options.precision, options.input_size or 0)
    with isolated_ros():
        for text in options.sizes:
            width, height = map(int, text.split("x"))
            for cameras in options.cameras:
                found = measure_node(network, (width, height), cameras, options.seconds, dict(os.environ))
                rows.append(asdict(found) | {"capacity": found.capacity, "ratio": found.ratio})
    parameters = {"model": options.model, "input_size": options.input_size, "seconds": options.seconds}
    return Results("node", benchmark_run.conditions, parameters, rows, NOTES)


def table(results: Results) -> str:
    """Format the results as Markdown, with a line for each number of cameras and size, and one for each load."""
    summary = markdown_table(
        [
            "images",
            "cameras",
            "network",
            "bare network, 1/s",
            "capacity, 1/s",
            "capacity : bare",
            "left",
            "capacity : bare on it",
            "highest rate, 1/s",
        ],
        [
            [
                f"{row['size'][0]} x {row['size'][1]}",
                str(row["cameras"]),
                row["network"],
                number_cell(row["network_rate"]),
                number_cell(row["capacity"]),
                number_cell(row["capacity"] / row["network_rate"], 2),
                f"{row['available']:.0%}",
                number_cell(row["ratio"], 2),
                number_cell(row["highest_rate"]),
            ]
            for row in results.rows
        ],
    )
    loads = markdown_table(
        [
            "images",
            "cameras",
            "offered, 1/s",
            "segmented, 1/s",
            "dropped",
            "p50, ms",
            "p99, ms",
            "node, cores",
            "others, cores",
        ],
        [
            [
                f"{row['size'][0]} x {row['size'][1]}",
                str(row["cameras"]),
                number_cell(load["offered_rate"]),
                number_cell(load["throughput"]),
                f"{100 * load['drop_share']:.0f} %",
                number_cell(1e3 * load["p50"], 0),
                number_cell(1e3 * load["p99"], 0),
                number_cell(load["node_cores"], 2),
                number_cell(load["other_cores"], 2),
            ]
            for row in results.rows
            for load in row["loads"]
        ],
    )
    return f"{summary}\n\n{loads}"


def measure_node(
    network: NodeModel, size: tuple[int, int], cameras: int, seconds: float, environment: dict[str, str]
) -> NodeBenchmark:
    """Start a node and cameras and measure all loads.

    Args:
        network: network of the node.
        size: width and height of the images.
        cameras: number of cameras.
        seconds: duration of each load.
        environment: environment with an unused ROS domain, which this process must use too.

    Raises:
        ValueError: node or cameras do not start, or exit.
    """
    topics = [f"/benchmarks/node/camera{number}/image_raw" for number in range(cameras)]
    predictor = build_predictor(
        network.model, argparse.Namespace(**asdict(network)), size[::-1], network.input_size or None
    )
    network_rate = bare_network_rate(predictor, size, seconds)
    with _node(network, size, topics, environment) as node, cameras_for(topics, size, node, environment) as sources:
        # Half a second for the remaining discovery.
        time.sleep(1.0)
        sources.load(network_rate, 2.0)
        loads = [sources.load(FLOOD * network_rate, seconds)]
        capacity = loads[0].throughput
        loads += [sources.load(share * capacity, seconds) for share in SHARES_OF_CAPACITY]
        highest = _highest_rate(sources, capacity, seconds)
    available = 1 - loads[0].other_cores / len(os.sched_getaffinity(0)) if network.device == "cpu" else 1.0
    return NodeBenchmark(
        network.model, size, cameras, describe_execution(predictor), network_rate, available, loads, highest
    )


def bare_network_rate(predictor: Predictor, size: tuple[int, int], seconds: float) -> float:
    """Measure the images per second of network, proposals and fusion, one image at a time, in this process."""
    predictor.prepare(*size[::-1])
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


def _highest_rate(sources: Cameras, capacity: float, seconds: float) -> float:
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
    network: NodeModel, size: tuple[int, int], topics: Sequence[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    parameters: dict[str, object] = {
        "cameras": list(topics),
        "camera_names": [f"camera{number}" for number in range(len(topics))],
        "expected_sizes": [f"{size[0]}x{size[1]}"],
        "diagnostics.status_period": 0.0,
    }
    parameters |= asdict(network)
    process = start_module("ciae_ros.node.cli.panoptic_node", parameters, environment, log_level="error")
    try:
        yield process
    finally:
        stop(process)
