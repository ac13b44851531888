# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Of a damaged file everything before and after the damage is read, and one line reports it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from mcap.writer import CompressionType

from ciae_ros.replay.bags.bag import open_bag
from ciae_ros.replay.bags.bag_writing import StorageFormat, write_bag
from ciae_ros.replay.bags.mcap_index import MESSAGE, RECORD
from ciae_ros.replay.bags.types import BagError
from tests.replay.bags.mcap_bags import CAMERA, TEXTURE, chunks_of, image, image_channel, stamp, write_mcap

COUNT = 10
Damage = Callable[[bytearray, list[tuple[int, int]]], None]
"""Damages the content of a file, given start and end of its chunks."""


def read(path: Path) -> tuple[list[int], list[str]]:
    """Return the indices of the readable frames, whose images must be intact, and the problems."""
    with open_bag(path) as bag:
        frames = [frame for frame in bag.frames(CAMERA) if frame.image is not None]
        assert len(frames) == bag.topics[CAMERA].count or bag.problems
        problems = bag.problems
    indices = [round((frame.stamp - stamp(0)) / (stamp(1) - stamp(0))) for frame in frames]
    for index, frame in zip(indices, frames, strict=True):
        assert frame.image is not None
        assert np.array_equal(frame.image.to_bgr(), np.roll(TEXTURE, index, axis=1))
    return indices, problems


def flip_in_chunk(number: int) -> Damage:
    def damage(content: bytearray, chunks: list[tuple[int, int]]) -> None:
        content[sum(chunks[number]) // 2] ^= 0x10

    return damage


def zero_chunk(content: bytearray, chunks: list[tuple[int, int]]) -> None:
    start, end = chunks[2]
    content[start:end] = bytes(end - start)


def zero_across_chunks(content: bytearray, chunks: list[tuple[int, int]]) -> None:
    start, end = sum(chunks[1]) // 2, sum(chunks[2]) // 2
    content[start:end] = bytes(end - start)


def wrong_length(content: bytearray, chunks: list[tuple[int, int]]) -> None:
    content[chunks[2][0] + 1 : chunks[2][0] + 9] = b"\xff" * 8


def truncate_behind_chunks(content: bytearray, chunks: list[tuple[int, int]]) -> None:
    del content[chunks[-1][1] :]


def zero_end(content: bytearray, chunks: list[tuple[int, int]]) -> None:
    end = chunks[-1][1]
    content[end:] = bytes(len(content) - end)


def zero_from_last_chunk(content: bytearray, chunks: list[tuple[int, int]]) -> None:
    start = sum(chunks[-1]) // 2
    content[start:] = bytes(len(content) - start)


DAMAGES: dict[str, tuple[list[Damage], set[int]]] = {
    "middle chunk": ([flip_in_chunk(2)], {4, 5}),
    "middle chunk without index": ([flip_in_chunk(2), truncate_behind_chunks], {4, 5}),
    "first chunk": ([flip_in_chunk(0)], {0, 1}),
    "two chunks": ([flip_in_chunk(1), flip_in_chunk(3)], {2, 3, 6, 7}),
    "zeros for a chunk": ([zero_chunk], {4, 5}),
    "zeros for a chunk without index": ([zero_chunk, truncate_behind_chunks], {4, 5}),
    "zeros across chunks without index": ([zero_across_chunks, truncate_behind_chunks], {2, 3, 4, 5}),
    "length": ([wrong_length], {4, 5}),
    "length without index": ([wrong_length, truncate_behind_chunks], {4, 5}),
    "no index": ([truncate_behind_chunks], set()),
    "zeros for the index": ([zero_end], set()),
    "zeros from the last chunk": ([zero_from_last_chunk], {8, 9}),
}


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD])
@pytest.mark.parametrize(("damages", "lost"), DAMAGES.values(), ids=DAMAGES)
def test_mcap_file(damages: list[Damage], lost: set[int], compression: CompressionType, tmp_path: Path) -> None:
    path = tmp_path / "drive.mcap"
    write_mcap(path, [(image_channel(), map(image, range(COUNT)))], compression)
    assert read(path) == (list(range(COUNT)), [])
    content = bytearray(path.read_bytes())
    chunks = chunks_of(content)
    assert len(chunks) == COUNT // 2
    for damage in damages:
        damage(content, chunks)
    path.write_bytes(content)
    indices, problems = read(path)
    assert indices == sorted(set(indices))
    # Of an uncompressed chunk some messages may be readable.
    assert {*range(COUNT)} - lost <= set(indices)
    (problem,) = problems
    assert f"{path} is truncated or corrupt" in problem
    assert "\n" not in problem


def test_mcap_file_without_chunks(tmp_path: Path) -> None:
    path = tmp_path / "drive.mcap"
    write_mcap(path, [(image_channel(), map(image, range(COUNT)))], use_chunking=False)
    assert read(path) == (list(range(COUNT)), [])
    content = bytearray(path.read_bytes())
    start = content.index(image(4)[:24]) - RECORD.size - MESSAGE.size
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    indices, problems = read(path)
    assert indices == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert len(problems) == 1


@pytest.fixture
def database(tmp_path: Path) -> Path:
    frames = ((CAMERA, stamp(index), np.roll(TEXTURE, index, axis=1)) for index in range(COUNT))
    write_bag(tmp_path / "drive", frames, "sqlite3")
    return tmp_path / "drive" / "drive.db3"


def test_sqlite_file_with_damaged_pages(database: Path) -> None:
    content = bytearray(database.read_bytes())
    # A page of the fifth image, and the pages between it and the next.
    place = content.index(np.roll(TEXTURE, 5, axis=1).tobytes()[:200])
    start = place // 4096 * 4096
    content[start : start + 3 * 4096] = b"\xa5" * (3 * 4096)
    database.write_bytes(content)
    indices, problems = read(database)
    assert {0, 1, 2, 3, 7, 8, 9} <= set(indices)
    assert len(indices) < COUNT
    (problem,) = problems
    assert f"{database} is truncated or corrupt" in problem


def test_sqlite_file_with_a_damaged_index(database: Path) -> None:
    connection = sqlite3.connect(database)
    query = "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'messages'"
    root, page = connection.execute(query).fetchone()[0], connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    content = bytearray(database.read_bytes())
    content[(root - 1) * page : root * page] = b"\xa5" * page
    database.write_bytes(content)
    indices, problems = read(database)
    assert indices == list(range(COUNT))
    assert len(problems) <= 1, "SQLite 3.40 uses the index and notices the damage, 3.53 sorts without it"


def unfinished_folder(folder: Path, storage: StorageFormat) -> None:
    """A bag of three files, as its recorder leaves it when it is killed: all but the last are compressed."""
    folder.mkdir()
    suffix = {"mcap": "mcap", "sqlite3": "db3"}[storage]
    for part in range(3):
        of_part = folder.parent / f"part_{part}"
        indices = range(part * COUNT // 3, (part + 1) * COUNT // 3)
        frames = ((CAMERA, stamp(index), np.roll(TEXTURE, index, axis=1)) for index in indices)
        write_bag(of_part, frames, storage)
        content = (of_part / f"part_{part}.{suffix}").read_bytes()
        path = folder / f"drive_{part}.{suffix}"
        if part < 2:
            path.with_name(f"{path.name}.zstd").write_bytes(zstandard.compress(content))
        else:
            path.write_bytes(content)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_compressed_files_without_metadata(storage: StorageFormat, tmp_path: Path) -> None:
    unfinished_folder(tmp_path / "drive", storage)
    indices, (problem,) = read(tmp_path / "drive")
    assert indices == list(range(COUNT))
    assert "metadata.yaml" in problem
    with open_bag(tmp_path / "drive") as bag:
        assert [frame.stamp for frame in bag.reopened().frames(CAMERA, 5)] == [
            stamp(index) for index in range(5, COUNT)
        ]


def test_a_file_whose_compression_was_interrupted_is_read_once(tmp_path: Path) -> None:
    unfinished_folder(tmp_path / "drive", "mcap")
    whole = tmp_path / "drive" / "drive_2.mcap"
    whole.with_name("drive_2.mcap.zstd").write_bytes(zstandard.compress(whole.read_bytes())[:1000])
    indices, problems = read(tmp_path / "drive")
    assert indices == list(range(COUNT))
    assert len(problems) == 1


@pytest.mark.parametrize("suffix", ["mcap", "db3"])
def test_a_single_compressed_file(suffix: str, tmp_path: Path) -> None:
    frames = ((CAMERA, stamp(index), np.roll(TEXTURE, index, axis=1)) for index in range(COUNT))
    write_bag(tmp_path / "drive", frames, "mcap" if suffix == "mcap" else "sqlite3")
    compressed = zstandard.compress((tmp_path / "drive" / f"drive.{suffix}").read_bytes())
    path = tmp_path / f"single.{suffix}.zstd"
    path.write_bytes(compressed)
    assert read(path) == (list(range(COUNT)), [])


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_truncated_compressed_file(storage: StorageFormat, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 240, 320, 3), np.uint8)
    write_bag(tmp_path / "drive", ((CAMERA, stamp(index), noise[index]) for index in range(COUNT)), storage)
    (whole,) = (file for file in (tmp_path / "drive").iterdir() if file.name != "metadata.yaml")
    compressed = zstandard.compress(whole.read_bytes())
    path = tmp_path / f"single{whole.suffix}.zstd"
    path.write_bytes(compressed[: len(compressed) * 2 // 3])
    with open_bag(path) as bag:
        frames = list(bag.frames(CAMERA))
        problems = bag.problems
    assert COUNT // 2 <= len(frames) < COUNT
    for frame in frames[:-1]:
        assert frame.image is not None
        assert np.array_equal(frame.image.pixels, noise[frame.key.index])
    assert problems
    assert all(str(path) in problem for problem in problems)


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unfinished_folder(tmp_path / "drive", "mcap")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ciae_ros.replay.bags.compressed_files._decompress", no_space)
    with open_bag(tmp_path / "drive") as bag:
        assert any("No space left on device; set TMPDIR" in problem for problem in bag.problems)


def no_space(source: Path, target: Path) -> str:
    raise OSError(28, "No space left on device")


def test_decompressed_copies_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unfinished_folder(tmp_path / "drive", "mcap")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with open_bag(tmp_path / "drive") as bag:
        assert len(list(temporary.rglob("*.mcap"))) == 2
        assert bag.topics[CAMERA].count == COUNT
    assert list(temporary.iterdir()) == []


FOREIGN = {
    "empty": (b"", "is empty"),
    "zeros": (bytes(4096), "begins with zeros"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
    "ros 1": (b"#ROSBAG V2.0\n" + bytes(100), "rosbags-convert"),
    "text": (b"something else", "is not"),
}


@pytest.mark.parametrize("suffix", ["mcap", "db3"])
@pytest.mark.parametrize(("content", "message"), FOREIGN.values(), ids=FOREIGN)
def test_foreign_files_are_named(content: bytes, message: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"drive.{suffix}"
    path.write_bytes(content)
    with pytest.raises(BagError, match=message) as caught:
        open_bag(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bags_of_ros_1_are_named(tmp_path: Path) -> None:
    path = tmp_path / "drive.bag"
    path.write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(BagError, match=r"a bag of ROS 1: .*rosbags-convert"):
        open_bag(path)
