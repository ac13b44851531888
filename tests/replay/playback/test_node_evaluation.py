# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A bag played into the running node: every frame has a result or a reason, and results equal lock-step."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
import rclpy

from ciae_ros.core.processes import stop
from ciae_ros.replay.__main__ import main
from ciae_ros.replay.bags.bag import open_bag
from ciae_ros.replay.bags.bag_writing import write_bag
from ciae_ros.replay.bags.ground_truth import decode_label_image
from ciae_ros.replay.bags.stamps import stamp_of_serialized
from ciae_ros.replay.bags.types import NO_RESPONSE
from ciae_ros.replay.evaluation.model_options import ModelOptions
from ciae_ros.replay.evaluation.run_evaluation import EvaluationConfig
from ciae_ros.replay.evaluation.run_folder import read_run
from ciae_ros.replay.playback.bag_playback import PlaybackError
from ciae_ros.replay.playback.node_evaluation import PlaybackOptions, evaluate_through_node
from tests.node.harness import Client, start_node

TOPIC = "/front/image_raw"
SECOND = 10**9
RATE = 5


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames, the last three at once, of which the node can segment at most two."""
    path = tmp_path_factory.mktemp("bags") / "drive"
    texture = cv2.resize(np.random.default_rng(0).integers(0, 256, (30, 60, 3), np.uint8), (160, 96))
    stamps = [SECOND + i * SECOND // RATE for i in range(9)]
    stamps += [stamps[-1] + SECOND // RATE + i * 1000 for i in range(3)]
    write_bag(path, ((TOPIC, stamp, np.roll(texture, 2 * i, axis=1)) for i, stamp in enumerate(stamps)))
    return path


def test_node_and_lock_step_agree_on_common_frames(bag: Path, tmp_path: Path) -> None:
    plain = ["--device", "cpu", "--backend", "torch", "--precision", "fp32"]
    command = ["node", bag, *plain, "--input-size", "128", "--output", tmp_path / "run"]
    environment = dict(os.environ)
    assert main([str(one) for one in command]) == 0
    # PyTorch's compiler sets this variable when it is first imported.
    added_by_pytorch = {"TORCHINDUCTOR_CACHE_DIR"}
    assert {name: value for name, value in os.environ.items() if name not in added_by_pytorch - environment.keys()} == (
        environment
    )
    node, lock_step = read_run(tmp_path / "run" / "node"), read_run(tmp_path / "run" / "lock_step")
    assert node.metadata["kind"] == "node"
    assert node.metadata["lock_step"]["frames"] == 12
    answered = node.frames["problem"] == ""
    assert set(node.frames["problem"]) <= {"", NO_RESPONSE}
    assert answered.any()
    assert (node.frames["latency"] > 0).equals(answered)
    dropped = node.metadata["dropped"]
    assert sum(dropped.values()) == (~answered).sum(), dropped
    for index in node.frames["index"][answered]:
        maps = [
            cv2.imread(str(run.folder / run.frames["picture"][index]), cv2.IMREAD_UNCHANGED)
            for run in (node, lock_step)
        ]
        assert (maps[0] == maps[1]).mean() > 0.999
    with open_bag(node.folder / "recorded" / "drive.mcap") as recorded:
        assert recorded.topics["/diagnostics"].count > 0
        labels = [decode_label_image(one) for one in recorded.messages("/panoptic_node/camera0/labels")]
        assert recorded.topics["/panoptic_node/camera0/segments"].count == len(labels) == answered.sum()
    assert np.array_equal(
        labels[0], cv2.imread(str(node.folder / node.frames["picture"][answered].iloc[0]), cv2.IMREAD_UNCHANGED)
    )
    report = json.loads((node.folder / "report.json").read_text())
    assert report


def test_a_node_that_does_not_start_is_reported(bag: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "parameters.yaml"
    wrong.write_text("/**: {ros__parameters: {max_batch: -1}}")
    config = EvaluationConfig([bag], tmp_path / "run", ModelOptions(device="cpu", input_size=128))
    with pytest.raises(PlaybackError, match="did not start"):
        evaluate_through_node(config, PlaybackOptions(params_file=wrong))
    assert "max_batch" in capfd.readouterr().err


def test_a_node_that_runs_already_is_used(bag: Path, tmp_path: Path, ros_environment: dict[str, str]) -> None:
    parameters = {"input_size": "128", "expected_sizes": "[160x96]", "cameras": f"[{TOPIC}]", "camera_names": "[front]"}
    node = start_node(**parameters, use_sim_time="true")
    try:
        rclpy.init()
        client = Client(topic=TOPIC, outputs="/panoptic_node/front")
        client.wait_until_active(node)
        client.destroy_node()
        rclpy.shutdown()
        config = EvaluationConfig([bag], tmp_path / "run", ModelOptions(device="cpu", input_size=128))
        run = evaluate_through_node(config, PlaybackOptions(attach="/panoptic_node"))
        assert (run.frames["problem"] == "").any()
        assert node.poll() is None
        other = replace(config, bags=[bag_of_another_camera(tmp_path)], output=tmp_path / "other")
        with pytest.raises(PlaybackError, match="does not subscribe to /rear/image_raw: set its parameter cameras"):
            evaluate_through_node(other, PlaybackOptions(attach="/panoptic_node"))
    finally:
        rclpy.try_shutdown()
        stop(node)


def bag_of_another_camera(folder: Path) -> Path:
    write_bag(folder / "rear", [("/rear/image_raw", SECOND, np.zeros((96, 160, 3), np.uint8))])
    return folder / "rear"


def test_a_missing_node_is_reported(bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciae_ros.replay.playback.node_evaluation.PARAMETER_TIMEOUT", 0.5)
    config = EvaluationConfig([bag], tmp_path / "run", ModelOptions(device="cpu", input_size=128))
    with pytest.raises(PlaybackError, match="node /elsewhere does not exist"):
        evaluate_through_node(config, PlaybackOptions(attach="/elsewhere"))


def test_stamps_of_serialised_images() -> None:
    little = b"\x00\x01\x00\x00" + (5).to_bytes(4, "little") + (7).to_bytes(4, "little")
    big = b"\x00\x00\x00\x00" + (5).to_bytes(4, "big") + (7).to_bytes(4, "big")
    assert stamp_of_serialized(little) == stamp_of_serialized(big) == 5 * SECOND + 7
    assert stamp_of_serialized(little[:11]) is None
