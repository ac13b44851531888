# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Atomic writing of files and folders: they appear when they are complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` once it is complete and on the disk.

    If writing is interrupted (an error, a full disk, `kill -9`), the previous file is unchanged.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder_atomically(path: Path) -> Iterator[Path]:
    """Yield the path of a folder to be created, of the same name, which is moved to `path` once it is complete.

    If writing is interrupted, nothing is left in the way of the next attempt.
    """
    staging = path.absolute().parent / f".{path.name}.unfinished"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging / path.name
        (staging / path.name).rename(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
