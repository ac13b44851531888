# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Bags made from a video or a folder of images, with the ground truth of their frames."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from ciae_ros.camera.frames import SourceError
from ciae_ros.camera.image_source import open_source
from ciae_ros.core.atomic_file import new_folder_atomically
from ciae_ros.core.coco_panoptic import ImageId, check_png_names, read_content
from ciae_ros.core.images.files import check_segment_ids
from ciae_ros.replay.bags.bag_writing import StorageFormat, write_bag
from ciae_ros.replay.bags.types import BagError, GroundTruthError

TOPIC = "/camera/image_raw"
TRUTH = "ground_truth.json"
"""Name of the ground truth in the bag's folder."""
START = 1_000_000_000
"""Stamp of the first frame in nanoseconds; the time at which the images were taken is unknown."""


def make_bag(
    source: Path, output: Path, rate: float | None, storage: StorageFormat, jpeg: bool, truth: Path | None
) -> Path | None:
    """Write the images to one topic of a new bag.

    Args:
        source: video, image, or folder of images, which are sorted by name.
        output: rosbag2 folder to write.
        rate: images per second; None for the timestamps of a video, and 10 for images.
        storage: storage format of the bag.
        jpeg: write JPEG images instead of raw ones.
        truth: JSON file in COCO's panoptic format, with its PNGs in the folder of the same name next to it. An entry
            of `images` describes the image whose path ends with its `file_name`.

    Returns:
        The ground truth file in the bag's folder, with the entries of its frames and their stamps.

    Raises:
        SourceError: there are no images, or none can be decoded.
        GroundTruthError: none of them has ground truth.
        BagError: the output exists.
        OSError: it cannot be written.
    """
    if rate is not None and rate <= 0:
        raise SourceError(f"the rate must be positive, not {rate}")
    if output.exists():
        raise BagError(f"{output} exists already: give another path, or remove it")
    images = open_source(str(source), lambda line: tqdm.write(line, file=sys.stderr))

    def stamp(number: int, seconds: float) -> int:
        return START + (round(number * 1e9 / rate) if rate else round(seconds * 1e9))

    if truth is not None:
        # Checked before the images are written.
        stamps = {name: stamp(number, number / images.rate) for number, name in enumerate(images.names)}
        entries = _read_truth(truth, source.resolve(), stamps)
    shown = tqdm(images.frames, "writing", images.length or None, unit=" frames", disable=None)
    messages = ((topic_of(jpeg), stamp(frame.number, frame.seconds), frame.pixels) for frame in shown)
    with new_folder_atomically(output) as folder:
        write_bag(folder, messages, storage, compressed=jpeg)
        if truth is None:
            return None
        _write_truth(truth, entries, folder)
    return output / TRUTH


def topic_of(jpeg: bool) -> str:
    """Return the topic of the images."""
    return f"{TOPIC}/compressed" if jpeg else TOPIC


def _read_truth(path: Path, source: Path, stamps: dict[str, int]) -> dict[str, Any]:
    """Read the entries of the images of a source and add their stamps."""
    try:
        content = read_content(path)
        stamp_of = {image_id: stamps[name] for image_id, name in _matches(content["images"], source, stamps).items()}
        images = [entry | {"stamp": stamp_of[entry["id"]]} for entry in content["images"] if entry["id"] in stamp_of]
        annotations = [entry for entry in content["annotations"] if entry["image_id"] in stamp_of]
        check_png_names(annotations, path)
        for entry in annotations:
            check_segment_ids(path.with_suffix("") / entry["file_name"])
    except (KeyError, TypeError) as error:
        raise GroundTruthError(f"{path} is not in COCO's panoptic format: {error!r}") from None
    except (OSError, ValueError) as error:
        raise GroundTruthError(str(error)) from None
    if not annotations:
        raise GroundTruthError(f"{path} has no ground truth for the images: no file_name matches")
    return content | {"images": images, "annotations": annotations}


def _matches(entries: list[dict[str, Any]], source: Path, names: Iterable[str]) -> dict[ImageId, str]:
    """Return the file names of the images by the id of the entry whose `file_name` is the end of the image's path.

    Raises:
        ValueError: two entries describe one image.
    """
    folder = source if source.is_dir() else source.parent
    known = set(names)
    matches: dict[ImageId, str] = {}
    first: dict[str, ImageId] = {}
    for entry in entries:
        path = PurePosixPath(entry["file_name"])
        name = path.name
        if name not in known or (folder / name).parts[-len(path.parts) :] != path.parts:
            continue
        other = first.setdefault(name, entry["id"])
        if other != entry["id"]:
            raise ValueError(f"images {other!r} and {entry['id']!r} of the ground truth are both {folder / name}")
        matches[entry["id"]] = name
    return matches


def _write_truth(source: Path, content: dict[str, Any], bag: Path) -> None:
    path = bag / TRUTH
    path.with_suffix("").mkdir()
    for entry in content["annotations"]:
        copy = path.with_suffix("") / entry["file_name"]
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.with_suffix("") / entry["file_name"], copy)
    path.write_text(json.dumps(content))
