"""`ros2 launch ciae_ros panoptic.launch.py` as a user types it: built by colcon, ended by Ctrl-C."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
if not importlib.util.find_spec("launch_ros") or not importlib.util.find_spec("ros2launch"):
    pytest.skip("needs ros2 launch, which is in a ROS distribution only", allow_module_level=True)

import rclpy
from lifecycle_msgs.msg import Transition

from tests.node.harness import START_TIMEOUT, Client

ROOT = Path(__file__).parents[2]
ROS2 = [sys.executable, "-c", "from ros2cli.cli import main; raise SystemExit(main())"]


@pytest.fixture(scope="module")
def workspace(ros_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Both packages as `colcon build` in the root installs them; the environment of a shell that has sourced them."""
    folder = tmp_path_factory.mktemp("workspace")
    arguments = ["--build-base", folder / "build", "--install-base", folder / "install"]
    colcon = shutil.which("colcon")
    assert colcon, "colcon is not on the PATH"
    subprocess.run([colcon, "--log-base", folder / "log", "build", *arguments], cwd=ROOT, check=True)
    shell = subprocess.run(
        ["bash", "-c", f"source {folder}/install/local_setup.bash && env -0"],
        env=os.environ | ros_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in shell.stdout.split("\0") if line)


@pytest.fixture
def client() -> Iterator[Client]:
    rclpy.try_shutdown()
    rclpy.init()
    client = Client()
    yield client
    client.destroy_node()
    rclpy.try_shutdown()


def launch(environment: dict[str, str], folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [*ROS2, "launch", "ciae_ros", *arguments]
    return subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ros2(environment: dict[str, str], *arguments: str) -> str:
    """What `ros2 ARGUMENTS` prints."""
    # Without the daemon, which a test would leave running, discovery takes a moment.
    command = [*ROS2, *arguments, "--no-daemon", "--spin-time", "10"]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def interrupt(process: subprocess.Popen[str]) -> str:
    """Ctrl-C: the terminal sends it to the launcher and to the nodes."""
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=60)[0]


def test_launch_brings_the_node_up_and_ctrl_c_ends_it_with_code_0(
    workspace: dict[str, str], client: Client, tmp_path: Path
) -> None:
    process = launch(workspace, tmp_path, "panoptic.launch.py", "model:=untrained/light_512", "device:=cpu")
    try:
        client.wait_until_active(process)
        assert client.state() == "active"
        client.publish(np.zeros((60, 80, 3), np.uint8), 7)
        client.wait(lambda: 7 in client.labels)
        assert "score_threshold" in ros2(workspace, "param", "list", "/panoptic_node")
        assert "active [3]" in ros2(workspace, "lifecycle", "get", "/panoptic_node")
        assert client.change_state(Transition.TRANSITION_DEACTIVATE)
    finally:
        output = interrupt(process)
    assert process.returncode == 0, output
    assert "process has finished cleanly" in output, output
    assert "Traceback" not in output


def test_launch_arguments_reach_the_node(workspace: dict[str, str], client: Client, tmp_path: Path) -> None:
    arguments = "namespace:=/front", "image_topic:=camera/image_raw", "overlay_opacity:=0.2", "autostart:=false"
    process = launch(workspace, tmp_path, "panoptic.launch.py", *arguments)
    try:
        client.wait(lambda: ("panoptic_node", "/front") in client.get_node_names_and_namespaces(), START_TIMEOUT)
        for name, value in {"image_topic": "camera/image_raw", "overlay.opacity": "0.2", "autostart": "False"}.items():
            assert value in ros2(workspace, "param", "get", "/front/panoptic_node", name)
    finally:
        output = interrupt(process)
    assert process.returncode == 0, output


def test_demo_launch_plays_a_folder(workspace: dict[str, str], client: Client, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((60, 80, 3), np.uint8))
    process = launch(workspace, tmp_path, "demo.launch.py", f"source:={tmp_path}")
    try:
        client.wait(lambda: client.labels, START_TIMEOUT)
    finally:
        output = interrupt(process)
    assert process.returncode == 0, output
