# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The examples with a running node: each frame's things, with the areas that the node reports."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from ciae_msgs.msg import PanopticSegments

from ciae_ros.core.processes import stop
from tests.node.harness import SMALL, Client, nanoseconds, start_node

EXAMPLES = Path(__file__).parents[2] / "examples"
OUTPUTS = "/panoptic_node/front"
FRAMES = 5
IMAGES = np.random.default_rng(0).integers(0, 256, (FRAMES, 60, 80, 3), np.uint8)


@pytest.fixture(scope="module")
def node(ros: None) -> Iterator[subprocess.Popen[str]]:
    """A node that detects things in noise, and publishes below the name of its camera."""
    process = start_node(**SMALL, camera_names="[front]", score_threshold="0.0")
    yield process
    stop(process)


@pytest.fixture
def client(node: subprocess.Popen[str]) -> Iterator[Client]:
    client = Client(outputs=OUTPUTS)
    client.wait_until_active(node)
    yield client
    client.destroy_node()


@pytest.fixture(scope="module")
def cpp_example(ros_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ example, built by colcon."""
    for package in ("rclcpp", "message_filters"):
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            pytest.skip(f"needs {package}, which a ROS distribution has")
    folder = tmp_path_factory.mktemp("workspace")
    arguments = ["--build-base", folder / "build", "--install-base", folder / "install", "--paths", EXAMPLES]
    command = [sys.executable, "-m", "colcon", "--log-base", folder / "log", "build", *arguments]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "install/ciae_examples/lib/ciae_examples/consume_labels"


@pytest.mark.skipif(
    not importlib.util.find_spec("message_filters"), reason="needs message_filters, which a ROS distribution has"
)
def test_python_example_prints_the_things_of_every_frame(client: Client) -> None:
    check([sys.executable, EXAMPLES / "consume_labels.py"], client)


def test_cpp_example_prints_the_things_of_every_frame(cpp_example: Path, client: Client) -> None:
    check([cpp_example], client)


def check(example: list[str | Path], client: Client) -> None:
    """Send frames one by one; the example must print a line for each, in agreement with the segments."""
    with running(example) as (process, lines):
        # Its subscriptions may not be discovered before its first output.
        stamp = 0

        def prints() -> bool:
            nonlocal stamp
            stamp += 1
            client.publish(IMAGES[0], stamp)
            return bool(lines) or process.poll() is not None

        client.wait(prints, 60.0)
        assert process.poll() is None, "the example has ended"
        stamps = [1_234_567_890_000_000_001 + index for index in range(FRAMES)]
        for index, image in enumerate(IMAGES):
            client.publish(image, stamps[index])
            beginning = f"1234567890.00000000{index + 1} "
            client.wait(lambda beginning=beginning: any(line.startswith(beginning) for line in lines))
        client.wait(lambda: set(stamps) <= set(client.segments))
    expected = [line_of(client.segments[stamp]) for stamp in stamps]
    assert lines[-FRAMES:] == expected
    assert any(" px" in line for line in expected), "the frames have no things: nothing has been compared"


def line_of(table: PanopticSegments) -> str:
    seconds, rest = divmod(nanoseconds(table.header), 10**9)
    things = [f"{thing.category_name} {thing.id}: {thing.area} px" for thing in table.segments if thing.is_thing]
    return f"{seconds}.{rest:09d}  {', '.join(things) or 'no things'}"


@contextmanager
def running(example: list[str | Path]) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """An example and its output so far; Ctrl-C must end it with exit code 0."""
    command = [*example, "--ros-args", "-p", f"outputs:={OUTPUTS}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda output: lines.extend(map(str.rstrip, output)), args=(process.stdout,))
    reader.start()
    try:
        yield process, lines
    finally:
        code = stop(process)
        reader.join()
    assert code == 0
