# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The page for reviewing a labelled data set: the least certain frames first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ciae_ros.core.categories import CategorySet
from ciae_ros.core.coco_panoptic import ImageId, PanopticAnnotations, read_content
from ciae_ros.core.images.files import read_image
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.replay.report.data_uris import label_uri, photo_uri
from ciae_ros.replay.report.formatting import count, number, percent
from ciae_ros.replay.report.page import (
    CardGroup,
    Cell,
    Column,
    Fact,
    FrameCard,
    Omission,
    Page,
    Picture,
    Row,
    Section,
    Table,
    Tile,
)
from ciae_ros.replay.report.rendering import write_page
from ciae_ros.visualization import draw_overlay
from training.labeling.label_set import agreement_path, load_splits, review_order

CARDS = 24
"""Number of frames that are shown with images."""
LISTED = 2000
"""Maximum number of frames in the table."""


@dataclass(frozen=True)
class _Frame:
    annotations: PanopticAnnotations
    split: str
    image_id: ImageId

    @property
    def image(self) -> dict[str, Any]:
        return self.annotations.images[self.image_id]

    @property
    def name(self) -> str:
        return Path(self.image["file_name"]).stem

    @property
    def segments(self) -> list[dict[str, Any]]:
        return list(self.annotations.annotations[self.image_id]["segments_info"])

    @property
    def certainty(self) -> float:
        return float(self.image.get("certainty", 1.0))

    @property
    def is_reviewed(self) -> bool:
        return bool(self.image.get("reviewed"))

    @property
    def void(self) -> float:
        """Share of the pixels without a label."""
        size = self.image["height"] * self.image["width"]
        return 1 - sum(segment["area"] for segment in self.segments) / float(size)


def write_review_page(folder: Path) -> Path:
    """Write review.html, which is self-contained, into the folder of a labelled data set.

    Returns:
        Its path.

    Raises:
        ValueError: the annotations are not in COCO's panoptic format, or there are none.
        OSError: a file cannot be read or written.
    """
    loaded = load_splits(folder)
    frames = [_Frame(found, split, one) for split, found in loaded.items() for one in found.annotated]
    frames.sort(key=lambda frame: review_order(frame.image))
    first = next(iter(loaded.values()))
    info = read_content(first.path).get("info", {})
    path = folder / "review.html"
    write_page(path, _page(folder, frames, first.categories, info))
    return path


def _page(folder: Path, frames: Sequence[_Frame], categories: CategorySet, info: dict[str, Any]) -> Page:
    shown = [frame for frame in frames if not frame.is_reviewed][:CARDS]
    cards = tuple(_cards(folder, shown, categories))
    text = (
        "Certainty is the mean over all pixels of score times agreement of the votes, 0 where void. "
        "Drag the divider, or move it with the arrow keys; the buttons choose the two images."
    )
    least = Section("uncertain", "Least certain frames", (text,), groups=(CardGroup("The least certain first", cards),))
    teachers = ", ".join(str(one["name"]) for one in info.get("teachers", ())) or "unknown teachers"
    reviewed = sum(frame.is_reviewed for frame in frames)
    sections = (_frames_section(frames, {card.anchor for card in cards}), _categories_section(frames, categories))
    return Page(
        title=folder.resolve().name,
        eyebrow="Review of labels",
        subtitle=f"{count(len(frames), 'frame')} labelled by {teachers}",
        tiles=(
            Tile("Frames", number(len(frames)), "", f"{number(reviewed)} reviewed"),
            Tile("Certainty", percent(_mean(frame.certainty for frame in frames)), "%", "mean"),
            Tile("Void", percent(_mean(frame.void for frame in frames)), "%", "of the pixels"),
            Tile("Segments", number(_mean(len(frame.segments) for frame in frames), 1), "per frame"),
        ),
        facts=(Fact("Folder", str(folder)),),
        problems=(),
        sections=(least, *sections) if cards else sections,
        omissions=() if cards else (Omission("Least certain frames", "all frames are reviewed"),),
        details=tuple(Fact(str(key), str(value)) for key, value in info.items() if key != "sources"),
    )


def _cards(folder: Path, frames: Sequence[_Frame], categories: CategorySet) -> Iterator[FrameCard]:
    for frame in frames:
        image = read_image(folder / frame.split / frame.image["file_name"], "BGR")
        ids = frame.annotations.segment_ids(frame.image_id)
        contents = {one["id"]: (categories.by_id[one["category_id"]], one.get("score", 1.0)) for one in frame.segments}
        pictures = [
            Picture("image", "Image", photo_uri(image)),
            Picture("labels", "Labels", photo_uri(draw_overlay(image, panoptic_result(ids, contents)))),
        ]
        path = agreement_path(folder, frame.split, frame.name)
        if path.exists():
            agreement = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            pictures.append(Picture("agreement", "Agreement", label_uri(_disagreement(image, agreement))))
        facts = (
            f"certainty {percent(frame.certainty)} % · {percent(frame.void)} % void · "
            f"{count(len(frame.segments), 'segment')} · {frame.split}/{frame.image['file_name']}"
        )
        size = frame.image["width"], frame.image["height"]
        yield FrameCard(_anchor(frame), frame.name, facts, tuple(pictures), "image", "labels", size)


def _disagreement(image: np.ndarray, agreement: np.ndarray) -> np.ndarray:
    """Colour the pixels of an image red where the votes disagree."""
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) // 2
    weight = (1 - agreement.astype(np.float32) / 255)[..., None]
    return np.asarray(gray * (1 - weight) + np.array((60, 60, 230), np.float32) * weight, np.uint8)


def _frames_section(frames: Sequence[_Frame], shown: set[str]) -> Section:
    columns = (
        Column("Frame", numeric=False),
        Column("Split", numeric=False),
        Column("Uncertainty, %", meaning="100 minus certainty"),
        Column("Void, %"),
        Column("Segments"),
        Column("Reviewed", numeric=False),
    )
    rows = tuple(
        Row(
            (
                Cell(frame.name, href=f"#{_anchor(frame)}" if _anchor(frame) in shown else ""),
                Cell(frame.split),
                Cell(percent(1 - frame.certainty), 1 - frame.certainty, 1 - frame.certainty),
                Cell(percent(frame.void), frame.void),
                Cell(number(len(frame.segments)), len(frame.segments)),
                Cell("yes" if frame.is_reviewed else ""),
            )
        )
        for frame in sorted(frames, key=lambda frame: frame.certainty)[:LISTED]
    )
    caption = "All frames." if len(frames) <= LISTED else f"The {LISTED} least certain of {number(len(frames))} frames."
    return Section("frames", "All frames", tables=(Table(caption, columns, rows, sorted_by=2),))


def _categories_section(frames: Sequence[_Frame], categories: CategorySet) -> Section:
    columns = (
        Column("Category", numeric=False),
        Column("Kind", numeric=False),
        Column("Segments", meaning="without crowds"),
        Column("Crowds", meaning="regions of things that are not told apart"),
        Column("Pixels, %"),
        Column("Score", meaning="mean"),
        Column("Agreement, %", meaning="mean"),
    )
    pixels = float(sum(frame.image["height"] * frame.image["width"] for frame in frames))
    segments = [segment for frame in frames for segment in frame.segments]
    rows = []
    for category in categories.categories:
        found = [one for one in segments if one["category_id"] == category.id]
        crowds = sum(one.get("iscrowd", 0) for one in found)
        area = sum(one["area"] for one in found) / pixels
        score = _mean(one.get("score", 1.0) for one in found)
        agreement = _mean(one.get("agreement", 1.0) for one in found)
        cells = (
            Cell(category.name, color="rgb({}, {}, {})".format(*category.color)),
            Cell("thing" if category.is_thing else "stuff"),
            Cell(number(len(found) - crowds), len(found) - crowds),
            Cell(number(crowds), crowds),
            Cell(percent(area), area, area),
            Cell(number(score, 2), score),
            Cell(percent(agreement), agreement),
        )
        rows.append(Row(cells))
    table = Table("What the labels contain.", columns, tuple(rows), sorted_by=4)
    return Section("categories", "Categories", tables=(table,))


def _anchor(frame: _Frame) -> str:
    return f"frame-{frame.split}-{frame.image_id}"


def _mean(values: Iterator[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else float("nan")
