"""The node as a process of its own, over real DDS: answers, stamps, bad input, life cycle, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from array import array
from pathlib import Path

import cv2
import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image

from ciae_ros.demo.processes import stop
from tests.node.harness import SMALL, START_TIMEOUT, Client, header, nanoseconds, start_node

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def test_answers_carry_the_stamp_and_describe_the_labels(client: Client, node: subprocess.Popen[str]) -> None:
    client.wait_until_active(node)
    stamp = 1_234_567_890_123_456_789
    client.publish(IMAGE, stamp)
    client.wait(lambda: stamp in client.labels and stamp in client.segments)
    labels, table = client.labels[stamp], client.segments[stamp]
    assert labels.header == table.header == header(stamp)
    assert (labels.encoding, labels.height, labels.width) == ("16UC1", 60, 80)
    ids = np.frombuffer(labels.data, np.uint16).reshape(60, 80)
    assert (table.height, table.width, table.model) == (60, 80, "light_512 (untrained)")
    assert [segment.id for segment in table.segments] == list(range(1, len(table.segments) + 1))
    for segment in table.segments:
        y, x = np.nonzero(ids == segment.id)
        assert segment.area == len(x)
        assert (segment.box.x_offset, segment.box.y_offset) == (x.min(), y.min())
        assert (segment.box.width, segment.box.height) == (np.ptp(x) + 1, np.ptp(y) + 1)
        assert segment.centroid.x == pytest.approx(x.mean(), abs=1e-3)


def test_pictures_are_made_while_somebody_listens(client: Client, node: subprocess.Popen[str]) -> None:
    client.wait_until_active(node)
    client.listen_to_pictures()
    stamp = 0

    def both_arrive() -> bool:
        nonlocal stamp
        stamp += 10**9
        client.publish(IMAGE, stamp)
        return bool(client.overlays and client.semantics)

    client.wait(both_arrive)
    overlay, semantic = next(iter(client.overlays.values())), next(iter(client.semantics.values()))
    assert (overlay.encoding, overlay.height, overlay.width) == ("bgr8", 60, 80)
    assert (semantic.encoding, semantic.height, semantic.width) == ("16UC1", 60, 80)


def test_bad_messages_are_dropped_counted_and_survived(client: Client, node: subprocess.Popen[str]) -> None:
    client.wait_until_active(node)
    before = client.counts.get("dropped, wrong length", "0")
    for broken in (
        Image(height=60, width=80, encoding="bgr8", step=240, data=array("B", bytes(7))),
        Image(height=60, width=80, encoding="no such encoding", step=240, data=array("B", bytes(60 * 240))),
        Image(),
    ):
        client.images.publish(broken)
        time.sleep(0.3)
    client.publish(IMAGE, 42)
    client.wait(lambda: 42 in client.labels)
    client.wait(lambda: client.counts.get("dropped, wrong length", "0") != before)
    client.wait(lambda: "dropped, unknown encoding" in client.counts and "dropped, empty" in client.counts)
    assert node.poll() is None


def test_parameters_that_are_in_use_cannot_be_changed(client: Client, node: subprocess.Popen[str]) -> None:
    client.wait_until_active(node)
    request = SetParameters.Request(parameters=[Parameter("score_threshold", value=0.9).to_parameter_msg()])
    (result,) = client.call("set_parameters", SetParameters, request).results
    assert not result.successful
    assert "score_threshold can be set only while the node is unconfigured" in result.reason


def test_every_state_can_be_left_and_reached_again(client: Client, ros: None) -> None:
    process = start_node(**SMALL, autostart="false")
    try:
        assert client.state() == "unconfigured"
        request = SetParameters.Request(parameters=[Parameter("score_threshold", value=0.9).to_parameter_msg()])
        assert client.call("set_parameters", SetParameters, request).results[0].successful
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


def test_failed_configuration_leaves_the_node_unconfigured(client: Client, ros: None) -> None:
    process = start_node(autostart="false")
    try:
        assert not client.change_state(Transition.TRANSITION_CONFIGURE)
        assert client.state() == "unconfigured"
    finally:
        assert stop(process) == 0
    assert process.stdout is not None
    assert "no model: set the parameter model" in process.stdout.read()


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


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "no model: set the parameter model to a checkpoint, or allow_untrained to true"),
        ({"model": "/no/such/file.safetensors"}, "no checkpoint at /no/such/file.safetensors"),
        ({"score_treshold": "0.5"}, "unknown parameters: score_treshold"),
        ({"score_threshold": "1.5"}, "parameter score_threshold:"),
        ({"score_threshold": "high"}, "parameter score_threshold:"),
        ({"precision": "fp12"}, "parameter precision: 'fp12' is none of auto, fp32, fp16, bf16"),
        ({"device": "cuda:9", "allow_untrained": "true"}, "there is no device 'cuda:9'"),
        ({"qos.input_reliability": "sometimes"}, "is none of best_effort, reliable"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_parameters_end_it_with_one_line(ros: None, parameters: dict[str, str], message: str) -> None:
    process = start_node(**parameters)
    output, _ = process.communicate(timeout=START_TIMEOUT)
    assert process.returncode == 1
    lines = [line for line in output.splitlines() if line.strip()]
    assert message in lines[-1]
    assert len(lines) == 1, output


def test_compressed_images(ros: None) -> None:
    client = Client(compressed=True)
    process = start_node(**SMALL, compressed="true")
    try:
        client.wait_until_active(process)
        for stamp, data in enumerate((b"no image", cv2.imencode(".jpg", IMAGE)[1].tobytes()), start=1):
            client.images.publish(CompressedImage(header=header(stamp), format="jpeg", data=data))
            time.sleep(0.3)
        client.wait(lambda: 2 in client.labels and "dropped, undecodable" in client.counts)
        assert list(client.labels) == [2]
    finally:
        stop(process)
        client.destroy_node()


def test_demo_from_a_folder_of_images(ros_environment: dict[str, str], tmp_path: Path) -> None:
    source = tmp_path / "images"
    source.mkdir()
    for i in range(12):
        cv2.imwrite(str(source / f"{i:03}.png"), np.roll(IMAGE, i, axis=1))
    output = tmp_path / "out"
    command = [sys.executable, "-m", "ciae_ros.demo", "--source", str(source), "--output", str(output), "--rate", "5"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert finished.returncode == 0, finished.stderr
    summary = json.loads((output / "summary.json").read_text())
    frames = summary["frames"]
    assert frames["published"] == 12
    assert frames["received"] == frames["segmented"] + sum(frames["dropped"].values())
    assert frames["recorded"] == frames["segmented"] > 0
    assert "untrained" in summary["model"].lower()
    assert "UNTRAINED" in finished.stdout
    video = cv2.VideoCapture(str(output / "overlay.mp4"))
    assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (80, 60)
    assert cv2.imread(str(output / "contact_sheet.png")).shape[1] == 3 * 640


@pytest.mark.parametrize("source", ["/no/such/video.mp4", __file__])
def test_demo_refuses_what_is_no_video(source: str) -> None:
    command = [sys.executable, "-m", "ciae_ros.demo", "--source", source]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 1
    assert finished.stderr.strip().splitlines()[-1].startswith("demo: ")


def test_stamps_survive_the_message() -> None:
    assert nanoseconds(header(1_999_999_999_999_999_999)) == 1_999_999_999_999_999_999
