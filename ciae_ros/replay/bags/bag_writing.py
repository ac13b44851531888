# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Writing of bags."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer

from ciae_ros.replay.bags.definitions import COMPRESSED_IMAGE, IMAGE, typestore
from ciae_ros.replay.bags.types import BagError


class _SqliteWriter(Sqlite3Writer):
    """Writes to any path: rosbags opens it as a URI, in which #, ? and % have a meaning."""

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        super().__init__(Path(quote(str(path))), compression)
        self.path = path / f"{path.name}.db3"


class _BagWriter(Writer):
    STORAGE_PLUGINS = {  # noqa: RUF012, which the base class does not annotate either.
        **Writer.STORAGE_PLUGINS,
        StoragePlugin.SQLITE3: _SqliteWriter,
    }


StorageFormat = Literal["mcap", "sqlite3"]
PLUGINS = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}


def write_bag(
    path: Path,
    frames: Iterable[tuple[str, int, np.ndarray]],
    storage: StorageFormat = "mcap",
    compressed: bool = False,
) -> None:
    """Write a rosbag2 folder.

    Args:
        path: path of the folder, which must not exist.
        frames: tuples of topic, stamp in nanoseconds (also used as log time) and image (H, W, 3) uint8 BGR.
        storage: format of the files.
        compressed: write JPEG images instead of raw ones.

    Raises:
        BagError: the folder exists.
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
def new_bag(path: Path, storage: StorageFormat) -> Iterator[Writer]:
    """Create a bag for writing.

    Raises:
        BagError: the path exists.
        OSError: it cannot be written.
    """
    try:
        # Version 8 is supported by all distributions since Humble.
        writer = _BagWriter(path, version=8, storage_plugin=PLUGINS[storage])
    except WriterError:
        raise BagError(f"{path} exists already: give another path, or remove it") from None
    with writer:
        yield writer


@contextmanager
def new_mcap_file(path: Path) -> Iterator[Writer]:
    """Create a single MCAP file with compressed chunks for writing; it appears when it is complete.

    Raises:
        BagError: the path exists or does not end with .mcap.
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
    """Create a std_msgs/Header; the stamp is in nanoseconds."""
    types = typestore().types
    seconds, nanoseconds = divmod(stamp, 10**9)
    return types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](seconds, nanoseconds), frame_id)


def raw_image(header: Any, pixels: np.ndarray, encoding: str = "bgr8") -> Any:
    """Create a sensor_msgs/Image of an array (H, W) or (H, W, C)."""
    height, width = pixels.shape[:2]
    # Little-endian on every host.
    data = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).view(np.uint8).reshape(-1)
    return typestore().types[IMAGE](header, height, width, encoding, 0, data.size // height, data)


def jpeg_image(header: Any, pixels: np.ndarray) -> Any:
    """Create a sensor_msgs/CompressedImage of an image (H, W, 3) uint8 BGR."""
    return typestore().types[COMPRESSED_IMAGE](header, "bgr8; jpeg compressed bgr8", cv2.imencode(".jpg", pixels)[1])
