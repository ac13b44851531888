# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Checks of a data set in COCO's panoptic format.

Each image is read as in training. A fault is one line that names the file; for an image whose files cannot be read,
only the first fault is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ciae_ros.core.categories import CategorySet
from ciae_ros.core.coco_panoptic import ImageId, PanopticAnnotations
from ciae_ros.core.images.files import exif_orientation
from training.data.sample import VOID, read_sample

MAX_SEGMENT_ID = 256**3 - 1
"""Maximum value of the three channels of a PNG."""


@dataclass
class ImageReport:
    """Faults of an image and, if it could be read, its content."""

    faults: list[str] = field(default_factory=list)
    is_read: bool = False
    num_pixels: int = 0
    num_void: int = 0
    """Pixels without a segment."""
    has_orientation: bool = False
    """Whether the image file has an EXIF orientation, which is ignored."""
    segments: list[tuple[int, bool, int]] = field(default_factory=list)
    """Category id, whether it is a crowd, and area in pixels of each segment."""


def file_faults(content: dict[str, Any], path: Path) -> Iterator[str]:
    """Find faults between the entries of a JSON file: repeated ids, and images and annotations without each other.

    Args:
        content: content of the JSON file.
        path: path of the JSON file, for the messages.
    """
    images, annotations = content["images"], content["annotations"]
    if not images:
        yield f"{path} has no images"
    for image_id in _repeated(entry["id"] for entry in images):
        yield f"{path} has several images with the id {image_id}"
    for image_id in _repeated(entry["image_id"] for entry in annotations):
        yield f"{path} has several annotations of the image with the id {image_id}"
    for what, entries in (("images", images), ("annotations", annotations)):
        for name in _repeated(entry["file_name"] for entry in entries if "file_name" in entry):
            yield f"{path} has several {what} with the file {name}"
    with_annotation = {entry["image_id"] for entry in annotations}
    for entry in images:
        if entry["id"] not in with_annotation:
            yield f"{path} has no annotation of image {entry.get('file_name', entry['id'])}"
    with_image = {entry["id"] for entry in images}
    for entry in annotations:
        if entry["image_id"] not in with_image:
            yield f"{path} has no image for annotation {entry.get('file_name', entry['image_id'])}"


def entry_faults(image: dict[str, Any], annotation: dict[str, Any], path: Path) -> Iterator[str]:
    """Find missing fields in an image's entries of the JSON file, and invalid segment ids; either prevents reading it.

    Args:
        image: entry in "images".
        annotation: entry in "annotations".
        path: path of the JSON file, for the messages.
    """
    name = image.get("file_name", annotation.get("file_name", image["id"]))
    if "file_name" not in image:
        yield f"{path} has no file_name for the image of {name}"
    for key in ("width", "height"):
        if key not in image:
            yield f"{path} has no {key} of the image {name}"
    for key in ("file_name", "segments_info"):
        if key not in annotation:
            yield f"{path} has no {key} in the annotation of {name}"
    for key in ("id", "category_id", "area", "bbox"):
        if any(key not in segment for segment in annotation.get("segments_info", ())):
            yield f"{path} has a segment without {key} in the annotation of {name}"
    for segment_id in (segment.get("id", 1) for segment in annotation.get("segments_info", ())):
        if not isinstance(segment_id, int) or not 0 < segment_id <= MAX_SEGMENT_ID:
            yield f"{path} has the segment id {segment_id!r}, not in 1..{MAX_SEGMENT_ID}, in the annotation of {name}"


def segment_faults(segments_info: list[dict[str, Any]], categories: CategorySet, png: Path) -> Iterator[str]:
    """Find faults of an image's segments in the JSON file alone.

    Args:
        segments_info: segments of the image.
        categories: categories of the data set; unknown ones are found when the image is read.
        png: path of the image's PNG, for the messages.
    """
    for segment_id in _repeated(segment["id"] for segment in segments_info):
        yield f"{png}: several segments have the id {segment_id}"
    for segment in segments_info:
        category = categories.by_id.get(segment["category_id"])
        if category is not None and not category.is_thing and segment.get("iscrowd", 0):
            yield f"{png}: segment {segment['id']} is a crowd, but {category.name} is stuff"


def area_faults(segments_info: list[dict[str, Any]], areas: dict[int, int], png: Path) -> Iterator[str]:
    """Find segments without pixels, and wrong areas in the JSON file, which PQ is computed with.

    Args:
        segments_info: segments of the image.
        areas: number of pixels in the PNG by segment id.
        png: path of the image's PNG, for the messages.
    """
    for segment in segments_info:
        area = areas.get(segment["id"], 0)
        if area == 0:
            yield f"{png}: segment {segment['id']} of the JSON file has no pixels"
        elif segment["area"] != area:
            yield f"{png}: segment {segment['id']} has {area} pixels, but the area {segment['area']} in the JSON file"


def check_image(annotations: PanopticAnnotations, image_folder: Path, image_id: ImageId) -> ImageReport:
    """Check an image that has an annotation."""
    image, annotation = annotations.images[image_id], annotations.annotations[image_id]
    report = ImageReport(list(entry_faults(image, annotation, annotations.path)))
    if report.faults:
        return report
    png = annotations.png_folder / annotation["file_name"]
    segments_info = annotation["segments_info"]
    report.faults += segment_faults(segments_info, annotations.categories, png)
    try:
        sample = read_sample(annotations, image_folder, image_id)
        areas = _areas(annotations.segment_ids(image_id))
    except ValueError as error:
        report.faults.append(str(error))
        return report
    height, width = sample.segments.shape
    report.faults += area_faults(segments_info, areas, png)
    report.faults += _size_faults(image, height, width, image_folder)
    report.has_orientation = exif_orientation(image_folder / image["file_name"]) != 1
    report.is_read, report.num_pixels, report.num_void = True, height * width, int((sample.segments == VOID).sum())
    report.segments = [
        (segment["category_id"], bool(segment.get("iscrowd", 0)), areas.get(segment["id"], 0))
        for segment in segments_info
    ]
    return report


def check_images(annotations: PanopticAnnotations, image_folder: Path, workers: int) -> Iterator[ImageReport]:
    """Yield reports in the order of image ids. Threads suffice, because decoding releases the GIL."""
    image_ids = annotations.annotated
    check = partial(check_image, annotations, image_folder)
    with ThreadPoolExecutor(workers) as pool:
        yield from tqdm(pool.map(check, image_ids), total=len(image_ids), unit="image")


def summary(reports: list[ImageReport], categories: CategorySet) -> Iterator[str]:
    """Format the content of the images that could be read, as lines. Crowds are counted separately."""
    read = [report for report in reports if report.is_read]
    pixels = max(sum(report.num_pixels for report in read), 1)
    segments = Counter(id_ for report in read for id_, is_crowd, _ in report.segments if not is_crowd)
    images = Counter(id_ for report in read for id_ in {id_ for id_, is_crowd, _ in report.segments if not is_crowd})
    crowds = [area for report in read for _, is_crowd, area in report.segments if is_crowd]
    areas: Counter[int] = Counter()
    for report in read:
        for category_id, is_crowd, area in report.segments:
            areas[category_id] += 0 if is_crowd else area
    things, stuff = ([category.id for category in part] for part in (categories.things, categories.stuff))
    yield (
        f"images    {len(read)} read, {len(reports) - len(read)} not; "
        f"{_num_without(read, things)} without any thing, {_num_without(read, stuff)} without any stuff"
    )
    yield (
        f"segments  {sum(segments[i] for i in things)} things, {sum(segments[i] for i in stuff)} stuff; "
        f"{len(crowds)} crowds with {sum(crowds) / pixels:.2%} of all pixels"
    )
    turned = sum(report.has_orientation for report in read)
    if turned:
        yield f"turned    {turned} images have an EXIF orientation, which is ignored: annotations are of stored pixels"
    yield f"void      {sum(report.num_void for report in read) / pixels:.2%} of all pixels"
    width = max(len("category"), *(len(category.name) for category in categories.categories))
    yield f"\n{'category':{width}}  kind   segments  images   pixels"
    for category in categories.categories:
        i, kind = category.id, "thing" if category.is_thing else "stuff"
        yield f"{category.name:{width}}  {kind}  {segments[i]:8}  {images[i]:6}  {areas[i] / pixels:7.2%}"
    yield ""


def _num_without(reports: list[ImageReport], category_ids: list[int]) -> int:
    """Count images without a segment of any of these categories; crowds do not count."""
    wanted = set(category_ids)
    return sum(wanted.isdisjoint(id_ for id_, is_crowd, _ in report.segments if not is_crowd) for report in reports)


def _areas(segment_ids: np.ndarray) -> dict[int, int]:
    """Return the number of pixels by segment id."""
    ids, counts = np.unique(segment_ids, return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def _size_faults(image: dict[str, Any], height: int, width: int, image_folder: Path) -> Iterator[str]:
    stated = image["height"], image["width"]
    if stated != (height, width):
        path = image_folder / image["file_name"]
        yield f"{path} is {width} x {height} pixels, but {stated[1]} x {stated[0]} in the JSON file"


def _repeated(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]
