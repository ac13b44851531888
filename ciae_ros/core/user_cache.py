# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The package's folder in the user's cache, whose entries several processes may write at once."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNUSED_DAYS = 60
"""Entries that have not been used for so long are removed when another one is written."""


def cache_folder(name: str) -> Path:
    """Return the path of a folder of this name in the package's cache, which need not exist.

    The cache is `$XDG_CACHE_HOME/ciae_ros`, or `~/.cache/ciae_ros` if that variable is not set or not absolute (XDG
    Base Directory Specification).
    """
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    root = configured if configured.is_absolute() else Path("~/.cache").expanduser()
    return root / "ciae_ros" / name


def cached(path: Path, write: Callable[[Path], None]) -> Path:
    """Return the path of an entry of the cache, which is written first if it does not exist.

    The entry appears when it is complete. Of several processes that need it at once, one writes it and the others wait
    for it; if a process is killed while it writes, the next one starts from the beginning.

    Args:
        path: a file or folder directly in a folder of the cache.
        write: writes the file or folder at the path that it is given, which has the same name.

    Raises:
        OSError: the entry cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with _locked(path):
            if not path.exists():
                _write(path, write)
    with suppress(OSError):  # The cache of another user may be readable only.
        os.utime(path)
    return path


def remove(path: Path) -> None:
    """Remove an entry of the cache."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, write: Callable[[Path], None]) -> None:
    staging = path.with_name(f".{path.name}.unfinished")
    remove(staging)
    staging.mkdir()
    try:
        unfinished = staging / path.name
        write(unfinished)
        for file in unfinished.iterdir() if unfinished.is_dir() else [unfinished]:
            with file.open("rb") as content:
                os.fsync(content.fileno())
        unfinished.replace(path)
    finally:
        remove(staging)
    _remove_unused(path.parent)


def _remove_unused(folder: Path) -> None:
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    for entry in folder.iterdir():
        with suppress(OSError):
            if entry.stat().st_mtime < oldest:
                remove(entry)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of an entry, which the system releases when its process ends in any way."""
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
