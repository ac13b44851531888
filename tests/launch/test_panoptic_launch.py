# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""`ros2 launch ciae_ros panoptic.launch.py`, built by colcon and ended by Ctrl-C."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")
if not importlib.util.find_spec("launch_ros") or not importlib.util.find_spec("ros2launch"):
    pytest.skip("needs ros2 launch, which is in a ROS distribution only", allow_module_level=True)

import rclpy
from lifecycle_msgs.msg import Transition
from std_srvs.srv import Trigger

from ciae_ros.replay.bags.bag_writing import write_bag
from tests.inference.loading.huggingface_models import write_model
from tests.launch.harness import ROOT, ROS2, interrupt, launch, ros2, run_command
from tests.node.faulty_node import HANG
from tests.node.harness import START_TIMEOUT, Client

IMAGE = np.zeros((60, 80, 3), np.uint8)


@pytest.fixture
def client() -> Iterator[Client]:
    rclpy.try_shutdown()
    rclpy.init()
    client = Client()
    yield client
    client.destroy_node()
    rclpy.try_shutdown()


def write_parameters(folder: Path, **values: object) -> Path:
    """Write a parameter file for a node that starts quickly."""
    quick = {"model": "untrained/light_512", "input_size": 128, "expected_sizes": ["64x48"]}
    file = folder / "parameters.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": quick | values}}))
    return file


def node_process(launcher: subprocess.Popen[str]) -> psutil.Process | None:
    """Return the running node that the launcher has started, if any."""
    for child in psutil.Process(launcher.pid).children(recursive=True):
        if "panoptic_node" in " ".join(child.cmdline()):
            return child
    return None


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


def test_launch_arguments_reach_the_node_and_override_the_file(
    workspace: dict[str, str], client: Client, tmp_path: Path
) -> None:
    file = write_parameters(tmp_path, model="untrained/r50_512", max_rate=7.5, autostart=True)
    arguments = "namespace:=/front", "image_topic:=camera/image_raw", "overlay_opacity:=0.2", "autostart:=false"
    process = launch(workspace, tmp_path, "panoptic.launch.py", f"params_file:={file}", *arguments)
    expected = {
        "cameras": "['camera/image_raw']",
        "overlay.opacity": "0.2",
        "autostart": "False",
        "model": "untrained/r50_512",
        "max_rate": "7.5",
    }
    try:
        client.wait(lambda: ("panoptic_node", "/front") in client.get_node_names_and_namespaces(), START_TIMEOUT)
        for name, value in expected.items():
            assert value in ros2(workspace, "param", "get", "/front/panoptic_node", name)
    finally:
        output = interrupt(process)
    assert process.returncode == 0, output


def test_a_network_of_transformers_and_chosen_categories(
    workspace: dict[str, str], client: Client, tmp_path: Path
) -> None:
    """With launch arguments of the forms in docs/models.md."""
    pytest.importorskip("transformers", reason="needs requirements-models.txt")
    model = write_model("mask2former", tmp_path / "mask2former", ("own car", "own bus", "own road"))
    things = tmp_path / "things.yaml"
    things.write_text("[own car, own bus]\n")
    file = write_parameters(tmp_path, score_threshold=0.0, mask_threshold=0.0, overlap_threshold=0.0, input_size=64)
    arguments = f"model:={model}?things={things}", "class_map:=['vehicle = own car, own bus']", "classes:=[vehicle]"
    process = launch(workspace, tmp_path, "panoptic.launch.py", f"params_file:={file}", *arguments)
    try:
        client.wait_until_active(process)
        client.publish(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), 7)
        client.wait(lambda: 7 in client.segments)
        assert {segment.category_name for segment in client.segments[7].segments} <= {"vehicle"}
        assert client.segments[7].model == "mask2former"
        ros2(workspace, "param", "set", "/panoptic_node", "classes", "[own road]")
        client.publish(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), 8)
        client.wait(lambda: 8 in client.segments)
        assert {segment.category_name for segment in client.segments[8].segments} <= {"own road"}
        assert client.segments[7].segments or client.segments[8].segments
    finally:
        output = interrupt(process)
    assert process.returncode == 0, output


STACK = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch_ros.actions import PushRosNamespace
from launch_ros.substitutions import FindPackageShare

def generate_launch_description():
    file = [FindPackageShare("ciae_ros"), "/launch/panoptic.launch.py"]
    included = IncludeLaunchDescription(file, launch_arguments={{"params_file": {!r}, "image_topic": "/image"}}.items())
    return LaunchDescription([GroupAction([PushRosNamespace("car"), included])])
"""
"""A launch file of a vehicle, which includes that of the package in a group with a namespace."""


def test_a_killed_node_is_restarted_in_its_namespace(workspace: dict[str, str], client: Client, tmp_path: Path) -> None:
    client.destroy_node()
    client = Client(outputs="/car/panoptic_node")
    stack = tmp_path / "stack.launch.py"
    stack.write_text(STACK.format(str(write_parameters(tmp_path))))
    process = run_command([*ROS2, "launch", str(stack)], workspace, tmp_path)
    seconds = []
    try:
        client.wait_until_active(process)
        for _ in range(2):
            node = node_process(process)
            assert node is not None
            node.kill()
            start = time.time()
            client.labels.clear()

            def answers() -> bool:
                client.publish(IMAGE, time.time_ns())
                until = time.monotonic() + 0.1
                client.wait(lambda: time.monotonic() > until)
                return any(stamp > (start + 1) * 1e9 for stamp in client.labels)  # noqa: B023

            client.wait(answers, 60)
            seconds.append(time.time() - start)
    finally:
        output = interrupt(process)
    assert process.returncode == 0, output
    assert output.count("exited with code -9; restarting it") == 2
    client.destroy_node()
    print(f"answers after a kill: {seconds} s")


FAULTY = """#!{python}
import sys, threading
from ciae_ros.node import panoptic_node
from ciae_ros.node.cli.panoptic_node import main
from tests.node.faulty_node import load_faulty_predictor

def fail(*arguments):
    raise KeyError("injected")

panoptic_node.PanopticNode._reset_statistics = fail
sys.exit(main(load=load_faulty_predictor))
"""


@pytest.fixture
def faulty_workspace(workspace: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """The installed node with a network that hangs on request, and a service that raises."""
    prefix = Path(next(path for path in workspace["AMENT_PREFIX_PATH"].split(":") if path.endswith("/ciae_ros")))
    executable = prefix / "lib" / "ciae_ros" / "panoptic_node"
    healthy = executable.read_text()
    executable.write_text(FAULTY.format(python=sys.executable))
    yield workspace | {"PYTHONPATH": os.pathsep.join([str(ROOT), workspace.get("PYTHONPATH", "")])}
    executable.write_text(healthy)


@pytest.mark.parametrize(("kind", "code"), [("crash", 70), ("hang", 75)])
def test_a_node_that_crashes_or_hangs_is_started_again(
    faulty_workspace: dict[str, str], client: Client, tmp_path: Path, kind: str, code: int
) -> None:
    parameters = write_parameters(tmp_path, **{"timeouts.batch": 2.0})
    process = launch(
        faulty_workspace, tmp_path, "panoptic.launch.py", f"params_file:={parameters}", "image_topic:=/image"
    )
    try:
        client.wait_until_active(process)
        first = node_process(process)
        assert first is not None
        if kind == "crash":
            service = client.create_client(Trigger, "/panoptic_node/reset_statistics")
            client.wait(service.service_is_ready, START_TIMEOUT)
            service.call_async(Trigger.Request())
        else:
            client.publish(np.full((60, 80, 3), HANG, np.uint8), 1)
        client.wait(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE, 60)
        client.labels.clear()
        client.arrivals.clear()
        client.wait_until_active(process)
        second = node_process(process)
        assert second is not None and second.pid != first.pid
    finally:
        output = interrupt(process)
    assert process.returncode == 0, output
    assert f"exited with code {code}; restarting it" in output, output


def test_a_refusal_is_not_repeated(workspace: dict[str, str], client: Client, tmp_path: Path) -> None:
    process = launch(workspace, tmp_path, "panoptic.launch.py", "model:=/no/such/file", "respawn_delay:=0.1")
    output, _ = process.communicate(timeout=START_TIMEOUT)
    assert output.count("no checkpoint at /no/such/file") == 1
    assert "exit code 78" in output
    assert "restarting it" not in output


def test_several_cameras(workspace: dict[str, str], ros_environment: dict[str, str], tmp_path: Path) -> None:
    rclpy.try_shutdown()
    rclpy.init()
    cameras = "cameras:=[/front/image_raw, /rear/image_raw/compressed]"
    process = launch(workspace, tmp_path, "panoptic.launch.py", f"params_file:={write_parameters(tmp_path)}", cameras)
    front = Client(topic="/front/image_raw", outputs="/panoptic_node/front")
    rear = Client(compressed=True, topic="/rear/image_raw/compressed", outputs="/panoptic_node/rear")
    try:
        front.wait_until_active(process)
        rear.wait_until_active(process)
    finally:
        output = interrupt(process)
        front.destroy_node()
        rear.destroy_node()
        rclpy.try_shutdown()
    assert process.returncode == 0, output


def test_demo_launch_plays_a_folder(workspace: dict[str, str], client: Client, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((60, 80, 3), np.uint8))
    process = launch(workspace, tmp_path, "demo.launch.py", f"source:={tmp_path}")
    try:
        client.wait(lambda: client.labels, START_TIMEOUT)
    finally:
        output = interrupt(process)
    assert process.returncode == 0, output


def test_replay_evaluation_plays_a_bag_into_the_node_and_ends_with_its_report(
    workspace: dict[str, str], tmp_path: Path
) -> None:
    texture = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (160, 96))
    frames = [("/front/image_raw", 10**9 * (5 + i) // 5, np.roll(texture, i, axis=1)) for i in range(8)]
    write_bag(tmp_path / "drive", frames)
    arguments = f"bag:={tmp_path / 'drive'}", "cameras:=[/front/image_raw]", f"output:={tmp_path / 'run'}"
    process = launch(
        workspace, tmp_path, "replay_evaluation.launch.py", *arguments, "device:=cpu", "require:=dropped<=0.5"
    )
    output = process.communicate(timeout=180)[0]
    assert process.returncode == 0, output
    assert "8 frames" in output
    assert (tmp_path / "run" / "node" / "report.html").is_file(), output
    assert "Traceback" not in output
