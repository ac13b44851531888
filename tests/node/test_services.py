# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Resetting of statistics, and saving of a frame with its result."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from ciae_ros.node.frame_report import SaveError, save_frames
from tests.node.harness import Client, node_in_this_process

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def call(client: Client, service: str) -> Trigger.Response:
    return client.call(service, Trigger, Trigger.Request())


def test_statistics_are_reset(client: Client) -> None:
    with node_in_this_process():
        client.wait_for_results()
        client.publish(IMAGE, 1)
        client.wait(lambda: 1 in client.labels)
        client.images.publish(Image(encoding="nonsense", height=1, width=1))
        client.wait(lambda: "dropped, unknown encoding" in client.counts)
        assert call(client, "reset_statistics").success
        client.wait(lambda: client.counts["received"] == "0")
        assert not [key for key in client.counts if key.startswith("dropped")]
        client.publish(IMAGE, 2)
        client.wait(lambda: client.counts["segmented"] == "1")


def test_saved_frame_contains_message_result_and_conditions(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    with node_in_this_process(save_folder=str(folder)):
        client.wait_for_results()
        client.publish(IMAGE, 1_500_000_000)
        client.wait(lambda: 1_500_000_000 in client.labels and 1_500_000_000 in client.segments)
        first, second = call(client, "save_frame"), call(client, "save_frame")
        assert first.success, first.message
        assert first.message != second.message
        (saved,) = Path(first.message).iterdir()
        assert saved.is_relative_to(folder)
        message = deserialize_message((saved / "message.cdr").read_bytes(), Image)
        assert (message.header.stamp.sec, message.encoding) == (1, "bgr8")
        assert bytes(message.data) == IMAGE.tobytes()
        assert np.array_equal(cv2.imread(str(saved / "image.png")), IMAGE)
        labels = client.labels[1_500_000_000]
        stored = cv2.imread(str(saved / "labels.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(stored, np.frombuffer(labels.data, np.uint16).reshape(60, 80))
        assert cv2.imread(str(saved / "overlay.png")).shape == (60, 80, 3)
        report = json.loads((saved / "report.json").read_text())
        assert report["model"] == "light_512 (untrained)"
        assert report["parameters"]["input_size"] == 128
        table = client.segments[1_500_000_000].segments
        assert [segment["area"] for segment in report["segments"]] == [segment.area for segment in table]


def test_nothing_to_save_and_an_invalid_folder_are_reported(client: Client, tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    with node_in_this_process(save_folder=str(occupied)):
        response = call(client, "save_frame")
        assert (response.success, response.message) == (
            False,
            "no frame has been segmented since the node was activated",
        )
        client.wait_for_results()
        response = call(client, "save_frame")
        assert not response.success
        assert response.message.startswith("cannot write below save_folder:")
        client.publish(IMAGE, 3)
        client.wait(lambda: 3 in client.labels)


def test_a_failed_save_does_not_end_the_node(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise KeyError("injected")

    monkeypatch.setattr("ciae_ros.node.frame_report._save_frame", fail)
    with node_in_this_process(save_folder=str(tmp_path)) as node:
        client.wait_for_results()
        response = call(client, "save_frame")
        assert not response.success
        assert response.message.startswith("the frame cannot be saved: KeyError: 'injected' (in fail")
        client.publish(IMAGE, 3)
        client.wait(lambda: 3 in client.labels)
        assert not node.end.fault


def test_names_of_cameras_stay_apart_and_cannot_leave_the_folder(client: Client, tmp_path: Path) -> None:
    names = ["a/b", "a_b"]
    with node_in_this_process(save_folder=str(tmp_path / "reports"), cameras=["/x", "/y"], camera_names=names):
        for topic, name in zip("xy", names, strict=True):
            camera = Client(topic=f"/{topic}", outputs=f"/panoptic_node/{name}")
            camera.wait_for_results()
            camera.destroy_node()
        response = call(client, "save_frame")
        assert response.success, response.message
    assert sorted(path.name for path in Path(response.message).iterdir()) == ["a-b", "a_b"]
    assert [path.name for path in tmp_path.iterdir()] == ["reports"]


def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown_user(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown_user)
    with pytest.raises(SaveError, match="save_folder is ~/saved, but the user has no home folder: set it"):
        save_frames("~/saved", {}, {})
