# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Writes bags of camera images."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError

from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE, IMAGE, typestore
from ciae_ros.replay.types import BagError

Storage = Literal["mcap", "sqlite3"]
PLUGINS = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}


def write_bag(
    path: Path,
    frames: Iterable[tuple[str, int, np.ndarray]],
    storage: Storage = "mcap",
    compressed: bool = False,
) -> None:
    """Write a rosbag2 folder.

    Args:
        path: of the folder, which must not be there.
        frames: topic, stamp in nanoseconds (which is the time of recording too), and image (H, W, 3) uint8 BGR.
        storage: its files' format.
        compressed: JPEG images instead of raw ones.

    Raises:
        BagError: the folder is there.
        OSError: it cannot be written.
    """
    kind, message = (COMPRESSED_IMAGE, jpeg_image) if compressed else (IMAGE, raw_image)
    with new_bag(path, storage) as writer:
        connections: dict[str, Any] = {}
        for topic, stamp, pixels in frames:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=typestore())
            data = typestore().serialize_cdr(message(header(stamp), pixels), kind)
            writer.write(connections[topic], stamp, data)


@contextmanager
def new_bag(path: Path, storage: Storage) -> Iterator[Writer]:
    """A bag to write into.

    Raises:
        BagError: there is something at its path.
        OSError: it cannot be written.
    """
    try:
        # All distributions since Humble read version 8.
        writer = Writer(path, version=8, storage_plugin=PLUGINS[storage])
    except WriterError:
        raise BagError(f"{path} exists already: give another path, or remove it") from None
    with writer:
        yield writer


@contextmanager
def new_mcap_file(path: Path) -> Iterator[Writer]:
    """A single MCAP file to write into, with compressed chunks; it is there when it is whole.

    Raises:
        BagError: there is something at its path, or it has not the suffix of MCAP files.
        OSError: it cannot be written.
    """
    if path.suffix != ".mcap":
        raise BagError(f"{path}: give a file that ends with .mcap")
    if path.exists():
        raise BagError(f"{path} exists already: give another path, or remove it")
    folder = path.with_name(f"{path.name}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        writer = Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        with writer:
            yield writer
        (folder / f"{folder.name}.mcap").replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def header(stamp: int, frame_id: str = "camera") -> Any:
    """A message std_msgs/Header; the stamp is in nanoseconds."""
    types = typestore().types
    seconds, nanoseconds = divmod(stamp, 10**9)
    return types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](seconds, nanoseconds), frame_id)


def raw_image(header: Any, pixels: np.ndarray, encoding: str = "bgr8") -> Any:
    """A message sensor_msgs/Image of an array (H, W) or (H, W, C)."""
    height, width = pixels.shape[:2]
    # Little-endian whatever this computer is.
    data = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).view(np.uint8).reshape(-1)
    return typestore().types[IMAGE](header, height, width, encoding, 0, data.size // height, data)


def jpeg_image(header: Any, pixels: np.ndarray) -> Any:
    """A message sensor_msgs/CompressedImage of an image (H, W, 3) uint8 BGR."""
    return typestore().types[COMPRESSED_IMAGE](header, "bgr8; jpeg compressed bgr8", cv2.imencode(".jpg", pixels)[1])
