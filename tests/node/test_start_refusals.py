# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Invalid arguments, parameters and environments end every executable with a line that names what is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

from ciae_ros.node.cli import image_player, panoptic_node
from ciae_ros.node.exit_codes import CONFIGURATION_ERROR
from ciae_ros.node.image_player import ImagePlayer
from ciae_ros.node.lifecycle.process_end import ProcessEnd
from ciae_ros.node.model_loading import load_predictor
from ciae_ros.node.panoptic_3d.node import Panoptic3dNode
from ciae_ros.node.panoptic_3d.same_process import create_both
from ciae_ros.node.panoptic_node import PanopticNode
from ciae_ros.node.parameters.definitions import NodeParameters
from ciae_ros.node.parameters.errors import ParameterError
from ciae_ros.node.parameters.values import declare_parameters, read_parameters

EXECUTABLES: dict[str, Callable[[list[str]], int]] = {
    "panoptic_node": panoptic_node.main,
    "image_player": image_player.main,
}
FILES = {
    "no section": ("max_rate: 5.0\n", "Cannot have a value before ros__parameters at line 1"),
    "no ros__parameters": ("panoptic_node:\n  max_rate: 5.0\n", "Cannot have a value before ros__parameters at line 2"),
    "mixed list": ("/**:\n  ros__parameters:\n    cameras: [1, a]\n", "Sequence should be of same type"),
    "not YAML": ("/**:\n  ros__parameters:\n   rate: [\n", "near line 3"),
}


def refused(executable: str, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Run an executable in this process, and return the line with which it refuses to start."""
    assert EXECUTABLES[executable](["--ros-args", *arguments]) == CONFIGURATION_ERROR
    said = capfd.readouterr().err
    assert "Traceback" not in said
    (line,) = (line for line in said.splitlines() if line.startswith(f"{executable}: "))
    return line


@pytest.fixture(autouse=True)
def _signals(ros_environment: dict[str, str]) -> Iterator[None]:
    """Executables ignore signals at their end, which child processes of later tests would inherit."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("executable", EXECUTABLES)
@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_parameter_files(
    executable: str, content: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text(content)
    line = refused(executable, ["--params-file", str(path)], capfd)
    assert str(path) in line and message in line
    assert ".c:" not in line


@pytest.mark.parametrize("executable", EXECUTABLES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "use_sim_time:=maybe"], "use_sim_time"),
        (["-p", "use_sim_time:=1"], "use_sim_time"),
        (["-p", "nonsense:=3"], "unknown parameters: nonsense; the parameters are "),
        (["-p", "nonsense"], "-p nonsense"),
        (["--params-file", "/no/such.yaml"], "/no/such.yaml"),
        (["-r", "__ns:=a//b"], "__ns:=a//b"),
        (["--nonsense"], "unknown ROS arguments"),
    ],
)
def test_arguments(executable: str, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert message in refused(executable, arguments, capfd)


@pytest.mark.parametrize(
    ("executable", "argument", "message"),
    [
        ("panoptic_node", "cameras:=[]", "parameter cameras: it has no value (Topics of the camera images"),
        ("panoptic_node", "expected_sizes:=[]", "parameter expected_sizes: it has no value"),
        ("panoptic_node", "cameras:=image", "parameter cameras"),
        ("panoptic_node", "input_size:=64.0", "parameter input_size"),
        ("panoptic_node", "max_rate:=-5", "parameter max_rate"),
        ("panoptic_node", "overlay:=3", "unknown parameters: overlay;"),
        ("image_player", "rate:=fast", "parameter rate"),
        ("image_player", "source:=5", "parameter source"),
        ("image_player", "loop:=3", "parameter loop"),
        ("image_player", "compressed:=[]", "parameter compressed: it has no value"),
        ("image_player", "wait_for_subscribers:=1.5", "parameter wait_for_subscribers"),
    ],
)
def test_parameters(executable: str, argument: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert message in refused(executable, ["-p", argument], capfd)


@pytest.mark.parametrize(
    ("create", "argument"),
    [
        (PanopticNode, "max_rate:=-5"),
        (Panoptic3dNode, "nonsense:=3"),
        (lambda: create_both(load_predictor, ProcessEnd(), []), "max_rate:=-5"),
        (ImagePlayer, "rate:=fast"),
    ],
    ids=["panoptic_node", "panoptic_3d", "both in one process", "image_player"],
)
def test_a_refused_node_leaves_the_graph(create: Callable[[], object], argument: str) -> None:
    rclpy.init(args=["--ros-args", "-p", argument])
    try:
        observer = Node("observer", use_global_arguments=False)
        # The exception refers to the node, which is not garbage meanwhile.
        with pytest.raises(ParameterError) as refusal:
            create()
        deadline = time.monotonic() + 10
        while (names := observer.get_node_names()) != ["observer"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert names == ["observer"], refusal.value
        observer.destroy_node()
    finally:
        rclpy.try_shutdown()


def declared(arguments: list[str]) -> Node:
    rclpy.init(args=["--ros-args", *arguments])
    node = Node("panoptic_node")
    declare_parameters(node, NodeParameters)
    return node


@pytest.mark.parametrize(
    "content",
    [
        "panoptic_node:\n  ros__parameters:\n    max_rate: 5\n    cameras: [/front]\n    camera_names: []\n",
        "\ufeffpanoptic_node:\r\n  ros__parameters:\r\n    max_rate: 5\r\n    cameras: [/front]\r\n",
    ],
    ids=["whole number", "byte order mark and CRLF"],
)
def test_files_of_other_editors_are_read(content: str, tmp_path: Path) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_bytes(content.encode())
    try:
        node = declared(["--params-file", str(path)])
        parameters = read_parameters(node, NodeParameters)
        assert (parameters.max_rate, parameters.cameras, parameters.camera_names) == (5.0, ("/front",), ("",))
        assert isinstance(parameters.max_rate, float)
        node.destroy_node()
    finally:
        rclpy.try_shutdown()


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / "parameters.yaml").touch()
    try:
        node = declared(["--params-file", str(tmp_path / "parameters.yaml")])
        assert read_parameters(node, NodeParameters).cameras == ("image",)
        node.destroy_node()
    finally:
        rclpy.try_shutdown()


def test_whole_numbers_are_accepted_while_the_node_runs() -> None:
    try:
        node = declared([])
        for atomic in (False, True):
            change = [Parameter("max_rate", Parameter.Type.INTEGER, 7 + atomic)]
            result = node.set_parameters_atomically(change) if atomic else node.set_parameters(change)[0]
            assert result.successful, result.reason
            assert node.get_parameter("max_rate").value == 7.0 + atomic
        text = node.set_parameters([Parameter("max_rate", Parameter.Type.STRING, "7")])[0]
        assert not text.successful
        assert node.set_parameters([Parameter("max_batch", Parameter.Type.INTEGER, 2)])[0].successful
        assert node.get_parameter("max_batch").type_ == Parameter.Type.INTEGER
        node.destroy_node()
    finally:
        rclpy.try_shutdown()


@pytest.mark.parametrize("executable", EXECUTABLES)
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"HOME": "/proc/nonexistent", "ROS_HOME": None, "ROS_LOG_DIR": None}, "set ROS_LOG_DIR to a folder that can"),
        ({"ROS_LOG_DIR": "/proc/nonexistent"}, "set ROS_LOG_DIR to a folder that can be written"),
    ],
    ids=["home cannot be written", "log folder cannot be written"],
)
def test_environments(executable: str, variables: dict[str, str | None], message: str) -> None:
    environment = {name: value for name, value in (os.environ | variables).items() if value is not None}
    command = [sys.executable, "-m", f"ciae_ros.node.cli.{executable}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == CONFIGURATION_ERROR, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith(f"{executable}: "))
    assert message in line
    assert "Traceback" not in done.stderr


def test_no_folder_for_temporary_files_is_reported() -> None:
    check = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc/no']; import ciae_ros.node.cli"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == CONFIGURATION_ERROR
    assert done.stderr == "ciae_ros: no folder for temporary files can be written: set TMPDIR, or mount /tmp\n"
