# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Without a choice only the images of cameras are evaluated; depth is named with the option that chooses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import Writer

from ciae_ros.replay.__main__ import main
from ciae_ros.replay.bags.bag import open_bag
from ciae_ros.replay.bags.bag_writing import header, jpeg_image, raw_image
from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE, IMAGE, typestore
from ciae_ros.replay.bags.image_topics import choose_topics, describe_unread
from ciae_ros.replay.bags.types import BagError

SECOND = 10**9
COLOUR = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8), (80, 48))
DEPTH = np.linspace(500, 5000, 48 * 80).reshape(48, 80).astype(np.uint16)
CAMERA = "/camera/color/image_raw"


def raw(pixels: np.ndarray, encoding: str) -> Any:
    return raw_image(header(SECOND), pixels, encoding)


def png(pixels: np.ndarray, text: str, before: bytes = b"") -> Any:
    data = before + cv2.imencode(".png", pixels)[1].tobytes()
    return typestore().types[COMPRESSED_IMAGE](header(SECOND), text, np.frombuffer(data, np.uint8))


CAMERAS = {
    "bgr8": raw(COLOUR, "bgr8"),
    "mono8": raw(COLOUR[..., 0], "mono8"),
    "mono16": raw(DEPTH, "mono16"),
    "bayer_rggb8": raw(COLOUR[..., 0], "bayer_rggb8"),
    "jpeg": jpeg_image(header(SECOND), COLOUR),
    "png": png(COLOUR, "bgr8; png compressed bgr8"),
    "mono8 png": png(COLOUR[..., 0], "mono8; png compressed "),
    "mono16 png": png(DEPTH, "mono16; png compressed "),
}
VALUES = {
    "16UC1": (raw(DEPTH, "16UC1"), "16UC1"),
    "32FC1": (raw(DEPTH.astype(np.float32), "32FC1"), "32FC1"),
    "64FC1": (raw(DEPTH.astype(np.float64), "64FC1"), "64FC1"),
    "8UC1": (raw(COLOUR[..., 0], "8UC1"), "8UC1"),
    "32SC1": (raw(DEPTH.astype(np.int32), "32SC1"), "32SC1"),
    "compressedDepth": (png(DEPTH, "16UC1; compressedDepth png", bytes(12)), "compressedDepth"),
    "compressedDepth without format": (png(DEPTH, "", bytes(12)), "compressedDepth"),
    "rvl": (png(DEPTH, "16UC1; compressedDepth rvl"), "compressedDepth"),
    "depth as PNG": (png(DEPTH, "16UC1; png compressed "), "16UC1"),
    "depth as PNG without encoding": (png(DEPTH, "png"), "16-bit grey PNG"),
}


def write(path: Path, topics: dict[str, Any]) -> Path:
    with Writer(path, version=8) as writer:
        for topic, message in topics.items():
            kind = message.__msgtype__
            connection = writer.add_connection(topic, kind, typestore=typestore())
            for index in range(3):
                message.header = header(SECOND + index)
                writer.write(connection, SECOND + index, typestore().serialize_cdr(message, kind))
    return path


@pytest.mark.parametrize("message", CAMERAS.values(), ids=CAMERAS)
def test_images_of_cameras_are_chosen(message: Any, tmp_path: Path) -> None:
    with open_bag(write(tmp_path / "drive", {CAMERA: message})) as bag:
        chosen = choose_topics(bag)
    assert chosen == ([CAMERA], {}, {})
    assert describe_unread([chosen]) == []


@pytest.mark.parametrize(("message", "content"), VALUES.values(), ids=VALUES)
def test_other_images_are_left_out_and_named(message: Any, content: str, tmp_path: Path) -> None:
    path = write(tmp_path / "drive", {CAMERA: CAMERAS["bgr8"], "/camera/aligned": message})
    with open_bag(path) as bag:
        chosen = choose_topics(bag)
        assert chosen == ([CAMERA], {"/camera/aligned": content}, {})
        (note,) = describe_unread([chosen, chosen])
        assert f"/camera/aligned ({content}); choose them with --topics" in note
        # A user who names a topic gets it.
        assert choose_topics(bag, ["/camera/aligned"]) == (["/camera/aligned"], {}, {})


def test_a_bag_with_depth_only_is_refused_with_the_option(tmp_path: Path) -> None:
    with open_bag(write(tmp_path / "drive", {"/depth": VALUES["16UC1"][0]})) as bag, pytest.raises(BagError) as caught:
        choose_topics(bag)
    assert "/depth (16UC1); choose them with --topics" in str(caught.value)


def test_many_topics_are_named_in_one_short_line(tmp_path: Path) -> None:
    topics = {f"/depth_{number}": VALUES["16UC1"][0] for number in range(9)}
    with open_bag(write(tmp_path / "drive", {CAMERA: CAMERAS["bgr8"], **topics})) as bag:
        (note,) = describe_unread([choose_topics(bag)])
    assert "/depth_4 (16UC1) and 4 more" in note


def test_an_unreadable_first_message_does_not_decide(tmp_path: Path) -> None:
    with Writer(tmp_path / "drive", version=8) as writer:
        connection = writer.add_connection("/depth", IMAGE, typestore=typestore())
        data = bytes(typestore().serialize_cdr(VALUES["32FC1"][0], IMAGE))
        for index, content in enumerate((data[:20], data)):
            writer.write(connection, SECOND + index, content)
    with open_bag(tmp_path / "drive") as bag, pytest.raises(BagError, match="32FC1"):
        choose_topics(bag)


def test_commands_segment_the_camera_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    topics = {CAMERA: CAMERAS["bgr8"], "/depth/image": VALUES["16UC1"][0], "/depth/png": VALUES["depth as PNG"][0]}
    path = write(tmp_path / "drive", topics)
    model = ("--model", "untrained/light_512", "--device", "cpu", "--input-size", "64")
    assert main(["evaluate", str(path), "--output", str(tmp_path / "run"), "--no-pictures", *model]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("3 frames")
    assert "dropped 0" in said.out
    assert said.err.count("/depth/image (16UC1), /depth/png (16UC1)") == 1
    assert main(["record-results", str(path), str(tmp_path / "out.mcap"), *model]) == 0
    assert capsys.readouterr().err.count("/depth/image (16UC1)") == 1
    with open_bag(tmp_path / "out.mcap") as bag:
        assert bag.topics["/panoptic_node/labels"].count == 3
        assert bag.topics["/depth/image"].count == 3
