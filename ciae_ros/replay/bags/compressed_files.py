# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Decompression of bag files that were compressed as a whole (`--compression-mode file`)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import zstandard

from ciae_ros.replay.bags.types import BagError

SUFFIX = ".zstd"
MAGIC = b"\x28\xb5\x2f\xfd"
"""First bytes of compressed files and messages; serialised messages begin with 0."""
BLOCK = 1 << 16
"""Number of compressed bytes that are read at once, and at most lost before corrupt data."""


class DecompressedFiles:
    """Decompressed copies of bag files in a temporary folder, each created when it is first needed."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        self._copies: dict[Path, tuple[Path, str]] = {}

    def copy_of(self, path: Path) -> tuple[Path, str]:
        """Return the path of the decompressed copy, and why it is incomplete (empty if it is not).

        Raises:
            BagError: the temporary folder is full or cannot be written.
        """
        if path not in self._copies:
            self._folder = self._folder or TemporaryDirectory(prefix="ciae_ros_bag_")
            # Numbered: files of a bag may be links to files of equal names.
            folder = Path(self._folder.name, str(len(self._copies)))
            try:
                folder.mkdir()
                copy = folder / path.name.removesuffix(SUFFIX)
                self._copies[path] = copy, _decompress(path, copy)
            except OSError as error:
                raise BagError(
                    f"{path} cannot be decompressed into {folder.parent}: {error.strerror or error}; set TMPDIR to "
                    "a folder with enough space"
                ) from None
        return self._copies[path]

    def close(self) -> None:
        """Remove the copies."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        self._copies.clear()


def decompress_message(data: bytes) -> bytes:
    """Decompress a message that was compressed on its own (`--compression-mode message`).

    Raises:
        ValueError: it is corrupt.
    """
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    try:
        message = decompressor.decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None
    if not decompressor.eof:
        raise ValueError("its end is missing")
    return message


def is_compressed(path: Path) -> bool:
    """Return whether a file is compressed, by its content."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _decompress(source: Path, target: Path) -> str:
    """Decompress a file as far as possible; returns why it is incomplete."""
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(BLOCK):
            while block:
                if decompressor.eof:
                    # Parallel compressors write several frames.
                    decompressor = zstandard.ZstdDecompressor().decompressobj()
                try:
                    writer.write(decompressor.decompress(block))
                except zstandard.ZstdError as error:
                    return " ".join(str(error).split())
                block = decompressor.unused_data if decompressor.eof else b""
    return "" if decompressor.eof else "the end of the compressed data is missing"
