# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The folder of a labelled data set, in COCO's layout, and its state while it is being written.

DIR/labeling.json                       how it is made, and the selected frames
DIR/labels.jsonl                        annotations so far; removed at the end
DIR/train/NAME.jpg, DIR/val/...         images
DIR/annotations/panoptic_train.json     annotations, with the PNGs in the folder panoptic_train; likewise val
DIR/agreement/train/NAME.png            share of the agreeing votes, if there are several
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ciae_ros.core.atomic_file import open_atomically
from ciae_ros.core.categories import CategorySet
from ciae_ros.core.coco_panoptic import PanopticAnnotations, encode_segment_ids
from ciae_ros.core.text_file import read_text
from training.labeling.labels import Labels

FORMAT = 1
TRAIN, VAL = "train", "val"
SPLITS = (TRAIN, VAL)
JPEG_QUALITY = 95


class LabelSetError(ValueError):
    """A folder that cannot be used; the one-line message states the remedy."""


@dataclass(frozen=True)
class SelectedFrame:
    """A frame to label."""

    sequence: str
    """Name of its sequence."""
    index: int
    """Position in the sequence."""
    seconds: float
    """Time since the beginning of the sequence."""
    stamp: int | None
    """Stamp of the message in nanoseconds, by which replay finds the frame; None if it is not of a bag."""
    bag: str | None
    topic: str | None
    split: str

    @property
    def name(self) -> str:
        """Name of its files without suffix."""
        return f"{self.sequence}_{self.index:06d}"


class LabelSet:
    """A data set that is being written."""

    def __init__(self, folder: Path, metadata: Mapping[str, Any]) -> None:
        """Start a data set, or continue an interrupted one.

        Args:
            folder: created if it does not exist.
            metadata: how the data set is made; JSON. Only with equal metadata is it continued.

        Raises:
            LabelSetError: the folder contains something else.
            OSError: it cannot be written.
        """
        self.folder = folder
        self._metadata = {"format": FORMAT} | json.loads(json.dumps(metadata))
        self.frames: list[SelectedFrame] | None = None
        """The selected frames, if they have been selected."""
        folder.mkdir(parents=True, exist_ok=True)
        if self._state.exists():
            self.frames = self._read_frames()
        elif any(folder.iterdir()):
            raise LabelSetError(f"{folder} contains something else: choose another --output, or remove it")
        self._entries = _read_entries(self._journal) if self.frames is not None else {}

    @property
    def is_complete(self) -> bool:
        """Whether all frames are labelled and the annotations written."""
        return self.frames is not None and all(self.annotations(split).exists() for split in self.splits)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have frames; the training split is written last."""
        present = {frame.split for frame in self.frames or ()}
        return tuple(split for split in reversed(SPLITS) if split in present)

    @property
    def remaining(self) -> list[SelectedFrame]:
        """The selected frames without labels, in order."""
        return [frame for frame in self.frames or () if frame.name not in self._entries]

    def annotations(self, split: str) -> Path:
        """Return the path of the annotations of a split."""
        return self.folder / "annotations" / f"panoptic_{split}.json"

    def select(self, frames: Sequence[SelectedFrame]) -> None:
        """Record the selected frames.

        Raises:
            OSError: the folder cannot be written.
        """
        self.frames = list(frames)
        content = self._metadata | {"frames": [asdict(frame) for frame in frames]}
        with open_atomically(self._state) as file:
            file.write(json.dumps(content, indent=1).encode())

    def write(self, frame: SelectedFrame, pixels: np.ndarray, labels: Labels) -> None:
        """Write a frame and its labels, which count once all files are complete.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        image = self.folder / frame.split / f"{frame.name}.jpg"
        png = self.annotations(frame.split).with_suffix("") / f"{frame.name}.png"
        _write(image, cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
        _write(png, encode_segment_ids(labels.ids))
        if labels.agreement is not None:
            _write(
                agreement_path(self.folder, frame.split, frame.name),
                cv2.imencode(".png", labels.agreement)[1].tobytes(),
            )
        height, width = labels.ids.shape
        about = {"file_name": image.name, "height": height, "width": width, "sequence": frame.sequence}
        about |= {"seconds": round(frame.seconds, 6), "certainty": round(labels.certainty(), 4)}
        if frame.stamp is not None:
            about |= {"stamp": frame.stamp, "bag": frame.bag, "topic": frame.topic}
        entry = {"name": frame.name, "image": about, "png": png.name, "segments_info": labels.segments_info()}
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._entries[frame.name] = entry

    def finish(self, categories: CategorySet) -> None:
        """Write the annotations; all frames must have labels.

        Raises:
            OSError: the folder cannot be written.
        """
        assert self.frames is not None and not self.remaining
        # A stamp that several frames have identifies none of them.
        stamps = Counter((one.bag, one.topic, one.stamp) for one in self.frames)
        info = {key: value for key, value in self._metadata.items() if key != "format"}
        for split in self.splits:
            images, annotations = [], []
            for number, frame in enumerate((one for one in self.frames if one.split == split), start=1):
                entry = self._entries[frame.name]
                image = {"id": number, **entry["image"]}
                if stamps[frame.bag, frame.topic, frame.stamp] > 1:
                    image.pop("stamp", None)
                images.append(image)
                annotations.append(
                    {"image_id": number, "file_name": entry["png"], "segments_info": entry["segments_info"]}
                )
            content = {"info": info, "images": images, "annotations": annotations}
            _write(self.annotations(split), json.dumps(content | {"categories": categories.to_coco()}).encode())
        self._journal.unlink(missing_ok=True)

    @property
    def _state(self) -> Path:
        return self.folder / "labeling.json"

    @property
    def _journal(self) -> Path:
        return self.folder / "labels.jsonl"

    def _read_frames(self) -> list[SelectedFrame]:
        try:
            content = json.loads(read_text(self._state))
            frames = [SelectedFrame(**frame) for frame in content.pop("frames")]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabelSetError(f"{self._state} is damaged: remove {self.folder} ({error!r})") from None
        differences = [key for key in self._metadata if content.get(key) != self._metadata[key]]
        if differences:
            raise LabelSetError(
                f"{self.folder} was labelled with different {', '.join(differences)}: choose another --output, or "
                "remove it"
            )
        return frames


def load_splits(folder: Path) -> dict[str, PanopticAnnotations]:
    """Load the annotations of a complete data set by split.

    Raises:
        ValueError: they are not in COCO's panoptic format, or there are none.
        OSError: a file cannot be read.
    """
    paths = {split: folder / "annotations" / f"panoptic_{split}.json" for split in SPLITS}
    loaded = {split: PanopticAnnotations.load(path) for split, path in paths.items() if path.exists()}
    if not loaded:
        raise ValueError(f"{folder} contains no complete data set; labelling may have been interrupted")
    return loaded


def review_order(image: Mapping[str, Any]) -> tuple[bool, float]:
    """Return the sort key of an entry of `images`: those to review first, the least certain before others."""
    return bool(image.get("reviewed")), float(image.get("certainty", 1.0))


def agreement_path(folder: Path, split: str, name: str) -> Path:
    """Return the path of a frame's share of agreeing votes, an 8-bit grey PNG."""
    return folder / "agreement" / split / f"{name}.png"


def _read_entries(journal: Path) -> dict[str, Any]:
    """Read the entries by name of the frame, and remove an incomplete last line, which an interruption leaves."""
    if not journal.exists():
        return {}
    content = journal.read_bytes()
    complete = content[: content.rfind(b"\n") + 1]
    if len(complete) < len(content):
        os.truncate(journal, len(complete))
    entries = map(json.loads, complete.splitlines())
    return {entry["name"]: entry for entry in entries}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomically(path) as file:
        file.write(content)
