# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`make soak`: hours of three cameras, one of which misbehaves. See `python -m tests.soak --help`."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from tqdm import tqdm

from ciae_ros.core.processes import environment_of_this_process, isolated_ros_environment, start_module, stop

CAMERAS = {"front": "good", "left": "good", "rear": "bad"}
SETTLING = 180.0
"""Seconds after which memory should not grow; at most a third of the duration."""
MINUTE = 60.0
"""Seconds of the first and last latencies, and of the misbehaving camera's cycle; at most a sixth of the duration."""
MAX_MEMORY_GROWTH = 0.02
MAX_LATENCY_GROWTH = 0.1


@dataclass(frozen=True)
class Sample:
    """The node's process at one moment."""

    time: float
    """Seconds since the start."""
    resident: float
    """MiB."""
    threads: int
    files: int
    """Open file descriptors."""


class Listener(Node):
    """Receives the results of the node."""

    def __init__(self) -> None:
        super().__init__("soak_listener")
        self.latencies: list[tuple[float, float]] = []
        """Return the time of arrival and the latency of the well-behaved cameras."""
        self.results: Counter[str] = Counter()
        self.values: dict[str, dict[str, str]] = {}
        for camera, kind in CAMERAS.items():
            self.create_subscription(
                Image, f"/panoptic_node/{camera}/labels", self._receiver(camera, kind == "good"), QoSProfile(depth=50)
            )
        self.create_subscription(DiagnosticArray, "/diagnostics", self._read, 10)

    def _receiver(self, camera: str, is_timed: bool) -> Callable[[Image], None]:
        def receive(message: Image) -> None:
            now = time.time()
            self.results[camera] += 1
            if is_timed:
                stamp = message.header.stamp
                self.latencies.append((now, now - stamp.sec - 1e-9 * stamp.nanosec))

        return receive

    def _read(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.removeprefix("/panoptic_node: camera ")
            self.values[name] = {pair.key: pair.value for pair in status.values}


class Cameras:
    """The camera processes; the misbehaving one is restarted whenever it has ended."""

    def __init__(self, environment: dict[str, str], cycle: float) -> None:
        self._environment, self._cycle = environment, cycle
        self.sent: Counter[str] = Counter()
        self.starts: Counter[str] = Counter()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._keep, args=item) for item in CAMERAS.items()]
        self._processes: dict[str, subprocess.Popen[str]] = {}
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all cameras, which then report the number of sent images."""
        self._is_over.set()
        for process in self._processes.values():
            process.send_signal(signal.SIGINT)
        for thread in self._threads:
            thread.join()

    def _keep(self, camera: str, kind: str) -> None:
        while not self._is_over.is_set():
            command = [sys.executable, "-m", "tests.soak.camera", kind, f"/{camera}/image_raw", str(self._cycle)]
            process = subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True)
            self._processes[camera] = process
            self.starts[camera] += 1
            output, _ = process.communicate()
            self.sent[camera] += int(output.split()[-1])


def main() -> int:
    """Run the soak test and write the report; returns 0 if all requirements hold."""
    arguments = _parse_arguments()
    with isolated_ros_environment() as environment, environment_of_this_process(environment):
        rclpy.init()
        report = _run(arguments, environment)
        rclpy.try_shutdown()
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    samples = report.pop("samples")
    assert isinstance(samples, list)
    print(json.dumps(report, indent=2))
    print(f"wrote {folder / 'report.json'}, with {len(samples)} samples of memory, threads and files")
    return 0 if all(report["held"].values()) else 1  # type: ignore[attr-defined]


def _run(arguments: argparse.Namespace, environment: dict[str, str]) -> dict[str, object]:
    parameters = {
        "cameras": [f"/{camera}/image_raw" for camera in CAMERAS],
        "model": arguments.model,
        "device": arguments.device,
        "input_size": arguments.input_size,
        "expected_sizes": ["640x480"],
        "qos.input_reliability": "reliable",
        "qos.input_depth": 100,
    }
    node = start_module("ciae_ros.node.cli.panoptic_node", parameters, environment)
    listener = Listener()
    seconds = 60 * arguments.minutes
    cameras = Cameras(environment, min(MINUTE, seconds / 6))
    try:
        _spin_until(listener, lambda: len(listener.latencies) > 10 or node.poll() is not None)
        start, samples = time.time(), []
        with tqdm(total=round(seconds), unit="s", desc="soak", disable=None) as progress:
            while (elapsed := time.time() - start) < seconds and node.poll() is None:
                samples.append(_sample(psutil.Process(node.pid), elapsed))
                progress.update(round(elapsed) - progress.n)
                _spin_for(listener, min(5.0, seconds / 20))
        survived = node.poll() is None
        cameras.stop()
        # Long enough for the last frames and the diagnostics after them.
        _spin_for(listener, 5.0)
    finally:
        code = stop(node)
    return _report(arguments.minutes, start, samples, listener, cameras, survived and code == 0)


def _report(
    minutes: float, start: float, samples: list[Sample], listener: Listener, cameras: Cameras, survived: bool
) -> dict[str, object]:
    end = samples[-1].time
    settling, minute = min(SETTLING, end / 3), min(MINUTE, end / 6)
    resident = [(sample.time, sample.resident) for sample in samples]
    memory = [float(np.mean(_within(resident, low, low + minute))) for low in (settling, end - minute)]
    settled = [sample for sample in samples if sample.time >= settling]
    latencies = [(arrival - start, latency) for arrival, latency in listener.latencies]
    # The first minute is excluded, because the misbehaving camera's first cycle may start at its end.
    first, last = _within(latencies, minute, 2 * minute), _within(latencies, end - minute, end)
    p99 = [float(np.percentile(part, 99)) for part in (first, last)]
    counts = {camera: _counts(listener.values[camera]) for camera in CAMERAS}
    accounted = all(
        cameras.sent[camera] == counts[camera]["received"]
        and counts[camera]["unfinished"] == 0
        and counts[camera]["segmented"] == listener.results[camera]
        for camera in CAMERAS
    )
    return {
        "minutes": minutes,
        "cameras": {
            camera: {
                "starts": cameras.starts[camera],
                "sent": cameras.sent[camera],
                "answers received": listener.results[camera],
            }
            | counts[camera]
            for camera in CAMERAS
        },
        "resident memory after settling and at the end [MiB]": [round(value, 1) for value in memory],
        "threads, least and most": _extremes([sample.threads for sample in settled]),
        "open files, least and most": _extremes([sample.files for sample in settled]),
        "latency p50 and p99 of each minute [s]": [
            np.percentile(part, (50, 99)).round(4).tolist()
            for low in np.arange(0, end - minute / 2, minute)
            if len(part := _within(latencies, low, low + minute))
        ],
        "latency p50, first and last minute [s]": [round(float(np.median(part)), 4) for part in (first, last)],
        "latency p99, first and last minute [s]": [round(value, 4) for value in p99],
        "held": {
            "the node lived, and ended with code 0": survived,
            "every image is accounted for": accounted,
            "memory flat": memory[1] < (1 + MAX_MEMORY_GROWTH) * memory[0],
            "threads flat": settled[-1].threads <= settled[0].threads,
            "files flat": settled[-1].files <= settled[0].files,
            "latency p99 not higher": p99[1] <= (1 + MAX_LATENCY_GROWTH) * p99[0],
        },
        "samples": [asdict(sample) for sample in samples],
    }


def _within(series: list[tuple[float, float]], low: float, high: float) -> np.ndarray:
    """Return the values of the times from low to high."""
    return np.array([value for moment, value in series if low <= moment <= high])


def _counts(values: dict[str, str]) -> dict[str, int]:
    names = [name for name in values if name in ("received", "segmented", "unfinished") or name.startswith("dropped")]
    return {name: int(values[name]) for name in names}


def _extremes(values: list[int]) -> list[int]:
    return [min(values), max(values)]


def _sample(process: psutil.Process, elapsed: float) -> Sample:
    return Sample(elapsed, process.memory_info().rss / 2**20, process.num_threads(), process.num_fds())


def _spin_until(node: Node, condition: Callable[[], bool]) -> None:
    while not condition():
        rclpy.spin_once(node, timeout_sec=0.1)


def _spin_for(node: Node, seconds: float) -> None:
    end = time.monotonic() + seconds
    _spin_until(node, lambda: time.monotonic() > end)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Run the node with two cameras that behave and one that does not, and report what has held.",
        epilog="example: python -m tests.soak --minutes 480 --device cuda --input-size 0",
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="length (default: 30)")
    parser.add_argument("--model", default="scenes_light", help="name or path of the model (default: scenes_light)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--input-size", type=int, default=256, help="shorter side in the network; 0: the model's (default: 256)"
    )
    parser.add_argument("--output", default="out/soak", help="folder of the report (default: out/soak)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
