# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Image files as a source of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ciae_ros.camera.frames import Frame, ImageSource, Report, SourceError
from ciae_ros.core.images.files import SUFFIXES, ImageFileError, exif_orientation, read_image

RATE = 10.0
"""Default rate of a folder in images per second."""
NAMES_SHOWN = 3
"""Maximum number of names in a message."""


def open_folder(path: Path, report: Report) -> ImageSource:
    """Open the images in a folder, sorted by name. Hidden files are ignored, and other files are reported.

    Raises:
        SourceError: the folder has no image.
    """
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not images:
        raise SourceError(f"the folder {path} contains no image ({', '.join(SUFFIXES)})")
    others = [file.name for file in files if file.suffix.lower() not in SUFFIXES]
    if others:
        report(f"left out in {path}: {_shortened(others)}, which {'is' if len(others) == 1 else 'are'} no image")
    return _open_files(images, path, report)


def open_image(path: Path, report: Report) -> ImageSource:
    """Open a single image file."""
    return _open_files([path], path, report)


def _open_files(files: Sequence[Path], source: Path, report: Report) -> ImageSource:
    names = tuple(file.name for file in files)
    return ImageSource(_frames(files, source, report), RATE, len(files), is_live=False, names=names)


def _frames(files: Sequence[Path], source: Path, report: Report) -> Iterator[Frame]:
    decoded, turned = 0, []
    for number, file in enumerate(files):
        try:
            pixels = read_image(file, "BGR")
        except ImageFileError as error:
            report(f"left out: {error}")
            continue
        decoded += 1
        if exif_orientation(file) != 1:
            turned.append(file.name)
        yield Frame(number, number / RATE, pixels)
    if turned:
        report(
            f"{len(turned)} of {len(files)} images in {source} have an EXIF orientation ({_shortened(turned)}), which "
            "is ignored: they are read as stored"
        )
    if not decoded:
        raise SourceError(f"no image in {source} can be decoded")


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
