# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Frames of all kinds of bags; of corrupt ones the remaining frames, and a line that reports it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from ciae_ros.replay.bags.bag import UNREADABLE, open_bag
from ciae_ros.replay.bags.bag_writing import header, jpeg_image, raw_image, write_bag
from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE, IMAGE, typestore
from ciae_ros.replay.bags.types import BagError

FRONT, REAR, TALK = "/front/image_raw", "/rear/image_raw/compressed", "/talk"
SECOND = 10**9
COUNT = 12
PIXELS = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8), (160, 96))
FILES = {StoragePlugin.MCAP: "mcap", StoragePlugin.SQLITE3: "db3"}


def stamp(index: int) -> int:
    return SECOND + index * SECOND // 10


def picture(index: int) -> np.ndarray:
    return np.roll(PIXELS, 3 * index, axis=1)


def write_mixed(writer: Writer, indices: Iterable[int] = range(COUNT)) -> None:
    """A raw camera, a compressed one half a period later, and a topic without images."""
    store = typestore()
    kinds = {FRONT: IMAGE, REAR: COMPRESSED_IMAGE, TALK: "std_msgs/msg/String"}
    topics = {topic: writer.add_connection(topic, kind, typestore=store) for topic, kind in kinds.items()}
    for index in indices:
        at = stamp(index)
        for topic, time, message in (
            (FRONT, at, raw_image(header(at), picture(index))),
            (REAR, at + SECOND // 20, jpeg_image(header(at + SECOND // 20), picture(index))),
            (TALK, at, store.types["std_msgs/msg/String"]("hello")),
        ):
            writer.write(topics[topic], time, store.serialize_cdr(message, kinds[topic]))


def assert_has_all_frames(path: Path) -> None:
    with open_bag(path) as bag:
        assert bag.image_topics() == [FRONT, REAR]
        for topic, offset, tolerance in ((FRONT, 0, 0), (REAR, SECOND // 20, 12)):
            frames = list(bag.frames(topic))
            assert [frame.key.index for frame in frames] == list(range(COUNT))
            assert [frame.stamp for frame in frames] == [stamp(index) + offset for index in range(COUNT)]
            for index, frame in enumerate(frames):
                assert frame.image is not None, frame.explanation
                difference = cv2.absdiff(frame.image.to_bgr(), picture(index))
                assert difference.mean() <= tolerance


@pytest.mark.parametrize("plugin", FILES)
@pytest.mark.parametrize("mode", CompressionMode)
def test_storages_and_compressions(plugin: StoragePlugin, mode: CompressionMode, tmp_path: Path) -> None:
    if plugin == StoragePlugin.SQLITE3 and mode == CompressionMode.STORAGE:
        pytest.skip("SQLite files have no compression of their own")
    writer = Writer(tmp_path / "drive", version=8, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        write_mixed(writer)
    assert_has_all_frames(tmp_path / "drive")
    with open_bag(tmp_path / "drive") as bag:
        assert bag.problems == []
        assert bag.name == "drive"
        assert bag.topics[FRONT].count == bag.topics[REAR].count == COUNT


@pytest.fixture(params=FILES, ids=list(FILES.values()))
def drive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with Writer(tmp_path / "drive", version=8, storage_plugin=request.param) as writer:
        write_mixed(writer)
    return tmp_path / "drive"


def storage_file(folder: Path) -> Path:
    (file,) = (path for path in folder.iterdir() if path.suffix in (".mcap", ".db3"))
    return file


def test_one_file(drive: Path) -> None:
    assert_has_all_frames(storage_file(drive))


def test_without_metadata(drive: Path) -> None:
    (drive / "metadata.yaml").unlink()
    assert_has_all_frames(drive)
    with open_bag(drive) as bag:
        (problem,) = bag.problems
    assert "metadata.yaml" in problem


@pytest.mark.parametrize("with_metadata", [True, False])
@pytest.mark.parametrize("plugin", FILES)
def test_split_over_files(plugin: StoragePlugin, with_metadata: bool, tmp_path: Path) -> None:
    """Ten files and more, whose tenth sorts before the second, with a metadata.yaml as from a recorder."""
    whole = tmp_path / "whole"
    whole.mkdir()
    names = []
    for index in range(COUNT):
        with Writer(tmp_path / f"part_{index}", version=8, storage_plugin=plugin) as writer:
            write_mixed(writer, [index])
        names.append(f"whole_{index}.{FILES[plugin]}")
        storage_file(tmp_path / f"part_{index}").rename(whole / names[-1])
    if with_metadata:
        text = (tmp_path / "part_0" / "metadata.yaml").read_text()
        lines = "".join(f"  - {name}\n" for name in names)
        text = text.replace(f"  - part_0.{FILES[plugin]}\n", lines)
        assert lines in text
        (whole / "metadata.yaml").write_text(text)
    assert_has_all_frames(whole)
    with open_bag(whole) as bag:
        assert bag.topics[FRONT].count == COUNT
        assert [frame.key.index for frame in bag.frames(REAR, 5, 9)] == [5, 6, 7, 8]
        assert next(bag.frames(REAR, 10)).stamp == stamp(10) + SECOND // 20


def test_any_stretch_has_the_frames_of_that_number(drive: Path) -> None:
    with open_bag(drive) as bag:
        for start, stop in ((0, 3), (5, 7), (3, 12), (11, 20), (12, 20), (2, 2), (0, None)):
            expected = list(range(COUNT))[start:stop]
            frames = list(bag.frames(FRONT, start, stop))
            assert [frame.key.index for frame in frames] == expected
            assert [frame.stamp for frame in frames] == [stamp(index) for index in expected]


def test_frames_recorded_at_the_same_time_keep_their_numbers(tmp_path: Path) -> None:
    store = typestore()
    with Writer(tmp_path / "drive", version=8) as writer:
        connection = writer.add_connection(FRONT, IMAGE, typestore=store)
        for index in range(COUNT):
            message = raw_image(header(stamp(index)), PIXELS)
            writer.write(connection, SECOND * (index // 4), store.serialize_cdr(message, IMAGE))
    with open_bag(tmp_path / "drive") as bag:
        list(bag.frames(FRONT))
        for start in range(COUNT):
            assert next(bag.frames(FRONT, start)).stamp == stamp(start)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_an_sqlite_file_that_ends_too_early_is_read_as_far_as_it_goes(share: float, tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    with Writer(drive, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        write_mixed(writer)
    file = storage_file(drive)
    with file.open("r+b") as opened:
        opened.truncate(int(share * file.stat().st_size))
    with open_bag(drive) as bag:
        frames = list(bag.frames(FRONT))
        assert [frame.key.index for frame in frames] == list(range(len(frames)))
        assert share * COUNT - 3 < len(frames) < COUNT
        assert [frame.stamp for frame in frames] == [stamp(index) for index in range(len(frames))]
        assert any("corrupt" in problem for problem in bag.problems), bag.problems
        assert all("\n" not in problem for problem in bag.problems)


def test_messages_that_the_recorder_had_not_merged_into_its_file(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    with Writer(whole, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        write_mixed(writer)
    database = sqlite3.connect(storage_file(whole))
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("UPDATE messages SET timestamp = timestamp + 1")
    database.commit()
    shutil.copytree(whole, cut)
    database.close()
    assert_has_all_frames(cut)
    with open_bag(cut) as bag:
        assert next(bag.raw_messages([FRONT]))[1] == stamp(0) + 1
        assert any("write-ahead log" in problem for problem in bag.problems)


def test_an_mcap_file_that_ends_too_early_has_the_chunks_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (480, 640, 3), np.uint8) for _ in range(4)]
    write_bag(tmp_path / "drive", ((FRONT, stamp(index), noise[index % 4]) for index in range(COUNT)))
    file = storage_file(tmp_path / "drive")
    with file.open("r+b") as opened:
        opened.truncate(int(0.7 * file.stat().st_size))
    with open_bag(file) as bag:
        frames = list(bag.frames(FRONT))
        assert 0.5 * COUNT < len(frames) < 0.8 * COUNT
        for index, frame in enumerate(frames):
            assert frame.image is not None
            assert np.array_equal(frame.image.to_bgr(), noise[index % 4])
        assert next(bag.frames(FRONT, 4)).stamp == stamp(4)


def test_a_corrupt_message_is_a_frame_without_image(tmp_path: Path) -> None:
    store = typestore()
    with Writer(tmp_path / "drive", version=8) as writer:
        connection = writer.add_connection(FRONT, IMAGE, typestore=store)
        whole = bytes(store.serialize_cdr(raw_image(header(stamp(0)), PIXELS), IMAGE))
        wrong = bytes(store.serialize_cdr(raw_image(header(stamp(2)), PIXELS, "no such encoding"), IMAGE))
        for index, data in enumerate((whole, whole[:40], wrong, whole)):
            writer.write(connection, stamp(index), data)
    with open_bag(tmp_path / "drive") as bag:
        frames = list(bag.frames(FRONT))
    assert [frame.image is None for frame in frames] == [False, True, True, False]
    assert frames[1].problem == UNREADABLE
    assert "no such encoding" in frames[2].explanation


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def no_bag(folder: Path) -> None:
    empty(folder)
    (folder / "drive.mcap").write_bytes(b"something else")


def no_tables(folder: Path) -> None:
    empty(folder)
    sqlite3.connect(folder / "drive.db3").execute("CREATE TABLE other (id INTEGER)").connection.close()


@pytest.mark.parametrize("spoil", [empty, no_bag, no_tables, shutil.rmtree])
def test_an_invalid_bag_is_reported_in_one_line(drive: Path, spoil: Callable[[Path], None]) -> None:
    spoil(drive)
    with pytest.raises(BagError) as caught:
        open_bag(drive)
    assert str(drive) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("topic", "message"), [("/no/such", "no topic /no/such"), (TALK, "std_msgs/msg/String")])
def test_a_topic_without_images_is_reported_with_image_topics(drive: Path, topic: str, message: str) -> None:
    with open_bag(drive) as bag, pytest.raises(BagError, match=message) as caught:
        list(bag.frames(topic))
    assert FRONT in str(caught.value)
