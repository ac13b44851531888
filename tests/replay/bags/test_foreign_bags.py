# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Bags of other recorders: more encodings than that of ROS 2, QoS profiles in other forms, and paths of all kinds."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from mcap.writer import CompressionType

from ciae_ros.replay.__main__ import main
from ciae_ros.replay.bags.bag import open_bag
from ciae_ros.replay.bags.bag_writing import write_bag
from ciae_ros.replay.bags.image_topics import choose_topics, describe_unread
from ciae_ros.replay.bags.types import BagError
from tests.replay.bags.mcap_bags import CAMERA, TEXTURE, Channel, image, image_channel, stamp, write_mcap

COUNT = 4
STATUS = b'{"ok": true}'
MODEL = ("--model", "untrained/light_512", "--device", "cpu", "--input-size", "64")
OTHERS = {
    "json": Channel("/status", "json", "own.Status", "jsonschema", b'{"type": "object"}'),
    "json without schema": Channel("/status", "json", "", ""),
    "protobuf": Channel("/status", "protobuf", "own.Status", "protobuf", b"\n\x00"),
    "flatbuffer": Channel("/status", "flatbuffer", "own.Status", "flatbuffer", b"\x00"),
    "cdr without schema": Channel("/status", "cdr", "", ""),
    "ros 1": Channel("/status", "ros1", "std_msgs/String", "ros1msg", b"string data"),
}


def frames_of(path: Path) -> int:
    with open_bag(path) as bag:
        frames = [frame for frame in bag.frames(CAMERA) if frame.image is not None]
        assert bag.problems == []
    for index, frame in enumerate(frames):
        assert frame.image is not None
        assert np.array_equal(frame.image.to_bgr(), np.roll(TEXTURE, index, axis=1))
    return len(frames)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_other_encodings_do_not_hide_the_images(other: Channel, tmp_path: Path) -> None:
    path = tmp_path / "drive.mcap"
    write_mcap(path, [(image_channel(), map(image, range(COUNT))), (other, [STATUS] * COUNT)])
    assert frames_of(path) == COUNT
    with open_bag(path) as bag:
        chosen = choose_topics(bag)
        assert (chosen.topics, chosen.left_out) == ([CAMERA], {})
        assert chosen.other_encodings == {"/status": other.encoding}
        (note,) = describe_unread([chosen, chosen])
    assert f"/status ({other.encoding})" in note


@pytest.mark.parametrize("profile", ["", "ros2", "other"])
def test_the_profile_does_not_matter(profile: str, tmp_path: Path) -> None:
    write_mcap(tmp_path / "drive.mcap", [(image_channel(), map(image, range(COUNT)))], profile=profile)
    assert frames_of(tmp_path / "drive.mcap") == COUNT


def test_short_type_names_are_understood(tmp_path: Path) -> None:
    channel = image_channel()._replace(schema_name="sensor_msgs/Image")
    write_mcap(tmp_path / "drive.mcap", [(channel, map(image, range(COUNT)))])
    assert frames_of(tmp_path / "drive.mcap") == COUNT


@pytest.mark.parametrize(
    ("name", "message"),
    [("ros 1", "has messages of ROS 1: .*rosbags-convert"), ("json", "has no messages of ROS 2; .*json")],
)
def test_a_file_without_messages_of_ros_2_is_named(name: str, message: str, tmp_path: Path) -> None:
    write_mcap(tmp_path / "drive.mcap", [(OTHERS[name], [STATUS] * COUNT)], profile="")
    with pytest.raises(BagError, match=message):
        open_bag(tmp_path / "drive.mcap")


def test_commands_read_the_images_and_mention_the_rest_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "drive.mcap"
    write_mcap(path, [(image_channel(), map(image, range(COUNT))), (OTHERS["json"], [STATUS] * COUNT)])
    assert main(["evaluate", str(path), "--output", str(tmp_path / "run"), "--no-pictures", *MODEL]) == 0
    said = capsys.readouterr().err
    assert said.count("/status (json)") == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["problems"] == []
    assert "/status (json)" in (tmp_path / "run" / "report.html").read_text()
    assert main(["record-results", str(path), str(tmp_path / "out.mcap"), *MODEL]) == 0
    assert capsys.readouterr().err.count("/status (json)") == 1
    with open_bag(tmp_path / "out.mcap") as bag:
        assert bag.topics[CAMERA].count == bag.topics["/panoptic_node/labels"].count == COUNT


QOS = {
    "empty": "",
    "word": "sensor_data",
    "mapping": "/camera/image_raw:\n  reliability: best_effort\n  depth: 5\n",
    "partial list": "- depth: 5\n  reliability: 2\n",
    "newer numbers": "- history: 9\n  depth: 5\n  reliability: 7\n  durability: 2\n  deadline: {sec: 1, nsec: 0}\n"
    "  lifespan: {sec: 1, nsec: 0}\n  liveliness: 1\n  liveliness_lease_duration: {sec: 1, nsec: 0}\n"
    "  avoid_ros_namespace_conventions: false",
    "not yaml": "- {history: [",
    "number": "5",
}


@pytest.mark.parametrize("qos", QOS.values(), ids=QOS)
@pytest.mark.parametrize("storage", ["mcap", "db3"])
def test_qos_profiles_in_any_form(qos: str, storage: str, tmp_path: Path) -> None:
    path = tmp_path / f"drive.{storage}"
    if storage == "mcap":
        write_mcap(path, [(image_channel({"offered_qos_profiles": qos}), map(image, range(COUNT)))])
    else:
        write_bag(
            tmp_path / "drive", ((CAMERA, stamp(i), np.roll(TEXTURE, i, axis=1)) for i in range(COUNT)), "sqlite3"
        )
        (tmp_path / "drive" / "drive.db3").rename(path)
        with sqlite3.connect(path) as database:
            database.execute("UPDATE topics SET offered_qos_profiles = ?", (qos,))
        database.close()
    assert frames_of(path) == COUNT
    assert main(["record-results", str(path), str(tmp_path / "out.mcap"), *MODEL]) == 0
    assert frames_of(tmp_path / "out.mcap") == COUNT


NAMES = ("with space", "made#1", "made?mode=rwc", "made%20", "50%", "100%25", "täglich", "日本", "a;b&c", "[1]", "it's")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("name", NAMES)
def test_paths(name: str, storage: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    frames = ((CAMERA, stamp(index), np.roll(TEXTURE, index, axis=1)) for index in range(COUNT))
    write_bag(folder / name, frames, storage)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [path.name for path in folder.iterdir()] == [name]
    assert frames_of(folder / name) == COUNT
    (file,) = (path for path in (folder / name).iterdir() if path.name != "metadata.yaml")
    assert frames_of(file) == COUNT
    assert sorted(path.name for path in (folder / name).iterdir()) == sorted([file.name, "metadata.yaml"])


def test_an_sqlite_file_with_another_encoding(tmp_path: Path) -> None:
    write_bag(tmp_path / "drive", [(CAMERA, stamp(0), TEXTURE)], "sqlite3")
    path = tmp_path / "drive" / "drive.db3"
    database = sqlite3.connect(path)
    columns = [row[1] for row in database.execute("PRAGMA table_info(topics)")]
    known = {"id": 9, "name": "/status", "type": "own/msg/Status", "serialization_format": "json"}
    values = [known.get(column, "") for column in columns]
    database.execute(f"INSERT INTO topics VALUES ({', '.join('?' for _ in columns)})", values)
    database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (9, 5, ?)", (STATUS,))
    database.commit()
    database.close()
    assert frames_of(path) == 1
    with open_bag(path) as bag:
        assert bag.other_encodings == {"/status": "json"}


def test_a_file_is_read_by_its_content(tmp_path: Path) -> None:
    write_mcap(tmp_path / "drive.db3", [(image_channel(), map(image, range(COUNT)))], CompressionType.LZ4)
    assert frames_of(tmp_path / "drive.db3") == COUNT
