# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Start, transitions and end of the node, as a separate process over DDS."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import CompressedImage

from ciae_ros.camera.camera_image import CameraImage
from ciae_ros.camera.image_decoding import decode_image
from ciae_ros.core.processes import stop
from tests.node.harness import SMALL, START_TIMEOUT, Client, header, node_in_this_process, start_node

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def test_every_state_can_be_left_and_reached_again(client: Client, ros: None) -> None:
    process = start_node(**SMALL, autostart="false")
    try:
        assert client.state() == "unconfigured"
        assert client.set_parameters_of_node(model="untrained/light_512") == [""]
        for transition, state in (
            (Transition.TRANSITION_CONFIGURE, "inactive"),
            (Transition.TRANSITION_ACTIVATE, "active"),
            (Transition.TRANSITION_DEACTIVATE, "inactive"),
            (Transition.TRANSITION_CLEANUP, "unconfigured"),
            (Transition.TRANSITION_CONFIGURE, "inactive"),
            (Transition.TRANSITION_ACTIVATE, "active"),
        ):
            assert client.change_state(transition)
            assert client.state() == state
        client.wait(client.images.get_subscription_count)
        client.publish(IMAGE, 5)
        client.wait(lambda: 5 in client.labels)
        assert client.change_state(Transition.TRANSITION_DEACTIVATE)
        client.wait(lambda: client.images.get_subscription_count() == 0)
        assert client.change_state(Transition.TRANSITION_INACTIVE_SHUTDOWN)
        assert client.state() == "finalized"
    finally:
        assert stop(process) == 0


def test_failed_configuration_leaves_the_node_unconfigured(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    with node_in_this_process(state="unconfigured", model="/no/such/model"):
        assert not client.change_state(Transition.TRANSITION_CONFIGURE)
        assert client.state() == "unconfigured"
    assert "no checkpoint at /no/such/model" in capfd.readouterr().err


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_with_exit_code_0_in_the_middle_of_a_frame(
    client: Client, ros: None, end: signal.Signals
) -> None:
    process = start_node(**SMALL)
    client.wait_until_active(process)
    for stamp in range(1, 20):
        client.publish(IMAGE, stamp)
    process.send_signal(end)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert "Traceback" not in output


INTERRUPTED = """
import os, signal, sys, threading
from ciae_ros.node.lifecycle import managed_node
from ciae_ros.node.cli.panoptic_node import main

def interrupt_twice(*args):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGINT)

if sys.argv[1] == "constructor":
    managed_node.declare_parameters = interrupt_twice

def load(parameters):
    interrupt_twice()
    threading.Event().wait()  # Loading takes as long as it takes.

sys.exit(main(load=load))
"""


@pytest.mark.parametrize("place", ["constructor", "loading"])
def test_two_interrupts_before_it_is_up_end_it_with_exit_code_0(ros: None, place: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, place]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr


REFUSED = {
    "model:=''": "no model: give the path of a checkpoint (.safetensors), or scenes_light",
    "model:=untrained/r18": "preset 'r18' does not exist: use untrained/ and one of r50_512,",
    "model:=/no/such/file.safetensors": "no checkpoint at /no/such/file.safetensors",
    "score_treshold:=0.5": "unknown parameters: score_treshold",
    "score_threshold:=1.5": "parameter score_threshold:",
    "precision:=fp12": "parameter precision: 'fp12' must be one of auto, fp32, fp16, bf16",
    "backend:=caffe": "parameter backend: 'caffe' must be one of auto, torch, onnx, openvino, tensorrt",
    "device:=cuda:9": "device 'cuda:9' does not exist",
    "cameras:=[a, a]": "parameter cameras: 'a' is repeated",
    "expected_sizes:=[small]": "parameter expected_sizes: 'small' is not a WIDTHxHEIGHT",
}
REFUSED_ARGUMENTS = {
    "-p broken": "Couldn't parse parameter override rule: '-p broken'",
    "-r __node:=a-b": "Couldn't parse remap rule: '-r __node:=a-b'",
    "--params-file /no/such.yaml": "Error opening YAML file",
    "--nonsense": "panoptic_node: unknown ROS arguments: ['--nonsense']",
}
RUN_ALL = """
import sys
from ciae_ros.node.cli.panoptic_node import main
for parameter in sys.argv[1:]:
    arguments = parameter.split() if parameter.startswith("-") else ["-p", parameter]
    print("exit code", main(["panoptic_node", "--ros-args", *arguments]), flush=True)
"""


def test_wrong_parameters_end_it_with_one_line(ros_environment: dict[str, str]) -> None:
    """One process tests all of them, because importing PyTorch takes longer than each."""
    refused = REFUSED | REFUSED_ARGUMENTS
    command = [sys.executable, "-c", RUN_ALL, *refused]
    finished = subprocess.run(
        command, env=ros_environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    of_rcl = "[rcl]: Failed to parse global arguments"  # rcl says so before it raises its own error.
    lines = iter(line for line in finished.stdout.splitlines() if line.strip() and of_rcl not in line)
    for parameter, message in refused.items():
        assert message in next(lines), f"{parameter}: {finished.stdout}"
        assert next(lines) == "exit code 78", f"{parameter}: {finished.stdout}"
    assert not list(lines), finished.stdout


def test_a_refusal_is_the_processs_exit_code(ros: None) -> None:
    process = start_node(model="/no/such/file")
    output, _ = process.communicate(timeout=START_TIMEOUT)
    assert process.returncode == 78, output


def test_compressed_images_are_decoded_off_the_executors_thread(ros: None, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()

    def decode(message: CompressedImage, max_pixels: int) -> CameraImage:
        threads.add(threading.current_thread().name)
        return decode_image(message, max_pixels)

    monkeypatch.setattr("ciae_ros.node.segmenter.decode_image", decode)
    client = Client(compressed=True)
    with node_in_this_process(compressed=True):
        client.wait_for_results()
        for stamp, data in enumerate((b"no image", cv2.imencode(".jpg", IMAGE)[1].tobytes()), start=1):
            client.images.publish(CompressedImage(header=header(stamp), format="jpeg", data=data))
            time.sleep(0.3)
        client.wait(lambda: 2 in client.labels and "dropped, undecodable" in client.counts)
        assert list(client.labels) == [2]
    assert threads == {"ciae-take"}
    client.destroy_node()
