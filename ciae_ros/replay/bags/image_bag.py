# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Bags made from a video or a folder of images, with the ground truth of their frames."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from tqdm import tqdm

from ciae_ros.camera.frames import SourceError
from ciae_ros.camera.image_source import open_source
from ciae_ros.core.atomic_file import new_folder_atomically
from ciae_ros.core.images.files import ImageFileError, check_segment_ids
from ciae_ros.core.text_file import read_text
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
        truth: JSON file in COCO's panoptic format whose `file_name`s are those of the images, with its PNGs in the
            folder of the same name next to it.

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
        entries = _read_truth(truth, stamps)
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


def _read_truth(path: Path, stamps: dict[str, int]) -> dict[str, list[dict[str, object]]]:
    """Read the entries of the images and add their stamps."""
    try:
        content = json.loads(read_text(path))
        ours = [entry for entry in content["images"] if entry["file_name"] in stamps]
        images = [entry | {"stamp": stamps[entry["file_name"]]} for entry in ours]
        known = {entry["id"] for entry in images}
        annotations = [entry for entry in content["annotations"] if entry["image_id"] in known]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GroundTruthError(f"{path} is not in COCO's panoptic format: {error!r}") from None
    if not annotations:
        raise GroundTruthError(f"{path} has no ground truth for the images: no file_name matches")
    try:
        for entry in annotations:
            check_segment_ids(path.with_suffix("") / str(entry["file_name"]))
    except ImageFileError as error:
        raise GroundTruthError(str(error)) from None
    return content | {"images": images, "annotations": annotations}


def _write_truth(source: Path, content: dict[str, list[dict[str, object]]], bag: Path) -> None:
    path = bag / TRUTH
    path.with_suffix("").mkdir()
    for entry in content["annotations"]:
        name = str(entry["file_name"])
        shutil.copyfile(source.with_suffix("") / name, path.with_suffix("") / name)
    path.write_text(json.dumps(content))
