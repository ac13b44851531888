# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Images of frames for a report, made from the bag and the stored label maps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ciae_ros.core.segment_display import segment_color
from ciae_ros.inference import CategorySet
from ciae_ros.replay.bags.bag import Bag, open_bag
from ciae_ros.replay.bags.types import BagError, BagFrame, FrameKey, GroundTruth, GroundTruthError, TrueSegments
from ciae_ros.replay.metrics.run_tables import EvaluationRun


@dataclass(frozen=True)
class FrameImages:
    """Images of a frame in a report."""

    image: np.ndarray
    """(H, W, 3) uint8 BGR."""
    prediction: np.ndarray
    """(H, W, 3) uint8 BGR: segments in their colours, unlabelled pixels black."""
    truth: np.ndarray | None
    """The ground truth likewise, void pixels black; None if there is none."""
    error: np.ndarray | None
    """(H, W, 3) uint8 BGR: pixels with wrong, right and void classes; None without ground truth."""


class FrameImageSource(Protocol):
    """A source of images of the frames of a run."""

    def images(self, key: FrameKey) -> FrameImages | None:
        """Return the images of a frame; None if it cannot be read."""
        ...


WRONG, VOID = (60, 60, 230), (110, 110, 110)
"""Colours (B, G, R) of pixels with a wrong class, and of pixels without ground truth."""
FAINT = 0.35
"""Brightness of the image where the class is right."""


class RunFrameImages:
    """Images of the frames of a run, read from its bags."""

    def __init__(self, run: EvaluationRun, truth_of: Callable[[Bag], GroundTruth | None]) -> None:
        self._run, self._truth_of = run, truth_of
        self._paths = {entry["name"]: Path(entry["path"]) for entry in run.metadata["bags"]}
        frames = run.frames
        keys = map(FrameKey, frames["bag"], frames["topic"], frames["index"])
        self._label_maps = dict(zip(keys, frames["picture"], strict=True))

    def images(self, key: FrameKey) -> FrameImages | None:
        """Return the images of a frame; None if the bag or the label map no longer exists."""
        label_map = self._label_maps.get(key, "")
        labels = cv2.imread(str(self._run.folder / label_map), cv2.IMREAD_UNCHANGED) if label_map else None
        if labels is None:
            return None
        found = self._read(key)
        if found is None:
            return None
        frame, truth = found
        assert frame.image is not None
        image = frame.image.to_bgr()
        predicted = self._predicted(key)
        categories = {segment: category for segment, (category, _) in predicted.items()}
        error = None if truth is None else error_image(image, _semantic(labels, categories), _true_semantic(truth))
        colors = {
            segment: _color(self._run.categories, track_id or segment, category)
            for segment, (category, track_id) in predicted.items()
        }
        true_colors = truth and {
            one.id: _color(self._run.categories, one.track_id or one.id, one.category_id) for one in truth.segments
        }
        return FrameImages(
            image,
            _painted(labels, colors),
            None if truth is None else _painted(truth.ids, true_colors or {}),
            error,
        )

    def _read(self, key: FrameKey) -> tuple[BagFrame, TrueSegments | None] | None:
        with suppress(BagError, KeyError), open_bag(self._paths[key.bag]) as bag:
            for frame in bag.frames(key.topic, key.index, key.index + 1):
                if frame.image is None:
                    return None
                truth = self._truth_of(bag)
                with suppress(GroundTruthError):
                    return frame, truth.find(frame) if truth else None
                return frame, None
        return None

    def _predicted(self, key: FrameKey) -> dict[int, tuple[int, int]]:
        """Return category id and track id by segment id."""
        table = self._run.segments
        of_frame = table[(table["bag"] == key.bag) & (table["topic"] == key.topic) & (table["index"] == key.index)]
        predicted = of_frame[of_frame["id"] > 0]
        return dict(
            zip(predicted["id"], zip(predicted["category_id"], predicted["track_id"], strict=True), strict=True)
        )


def error_image(image: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Draw the pixels whose class is wrong.

    Args:
        image: (H, W, 3) uint8 BGR.
        predicted: (H, W) category ids, 0 where unlabelled.
        true: (H, W) category ids, 0 where void.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    picture = (image * FAINT).astype(np.uint8)
    picture[true == 0] = VOID
    picture[(true != 0) & (predicted != true)] = WRONG
    return picture


def _semantic(ids: np.ndarray, categories: dict[int, int]) -> np.ndarray:
    table = np.zeros(int(ids.max(initial=0)) + 1, np.int32)
    for segment, category in categories.items():
        if segment < len(table):
            table[segment] = category
    return table[ids]


def _true_semantic(truth: TrueSegments) -> np.ndarray:
    unique, inverse = np.unique(truth.ids, return_inverse=True)
    categories = {segment.id: segment.category_id for segment in truth.segments}
    return np.array([categories.get(int(value), 0) for value in unique], np.int32)[inverse].reshape(truth.ids.shape)


def _painted(ids: np.ndarray, colors: dict[int, tuple[int, int, int]]) -> np.ndarray:
    """Colour a map of ids as (H, W, 3) uint8 BGR; ids without a colour are black."""
    unique, inverse = np.unique(ids, return_inverse=True)
    palette = np.array([colors.get(int(value), (0, 0, 0)) for value in unique], np.uint8)
    return palette[inverse].reshape(*ids.shape, 3)


def _color(categories: CategorySet, number: int, category_id: int) -> tuple[int, int, int]:
    category = categories.by_id[category_id]
    # Ids of the ground truth have up to 24 bits; the colour only needs to differ from that of neighbours.
    return segment_color(number % 1024, category)
