# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Runs of an evaluation, with drawn streets instead of bags."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.core.segment_display import segment_color
from ciae_ros.inference import Category, CategorySet
from ciae_ros.replay.bags.types import FrameKey, TrueSegment, TrueSegments
from ciae_ros.replay.metrics.matching import score_frame, unscored_frame
from ciae_ros.replay.metrics.run_tables import (
    EvaluationRun,
    confusion_table,
    frames_table,
    overlaps_table,
    segments_table,
)
from ciae_ros.replay.report.frame_images import FrameImages
from ciae_ros.tracking.tracker import Tracker

CATEGORIES = CategorySet(
    (
        Category(1, "sky", False, (110, 170, 220)),
        Category(2, "building", False, (140, 140, 130)),
        Category(3, "road", False, (128, 80, 128)),
        Category(4, "vegetation", False, (100, 140, 40)),
        Category(11, "person", True, (220, 40, 70)),
        Category(12, "car", True, (20, 40, 160)),
        Category(13, "bicycle", True, (150, 60, 30)),
        Category(14, "bus", True, (10, 110, 120)),
    )
)
STAGES = {
    "decode": 0.004,
    "preprocess": 0.002,
    "network": 0.018,
    "proposals": 0.003,
    "fusion": 0.005,
    "download": 0.002,
}
UNUSED_CATEGORY = "bus"
"""A category without segments."""


@dataclass(frozen=True)
class Shape:
    """A thing: an ellipse."""

    category: int
    x: float
    y: float
    width: float
    height: float
    speed: float


@dataclass(frozen=True)
class Scene:
    """A frame of a drawn sequence."""

    number: int
    size: tuple[int, int]
    """Width, height."""
    shapes: tuple[Shape, ...]

    def labels(self, jitter: float = 0.0, seed: int = 0) -> tuple[np.ndarray, list[int]]:
        """Return segment ids (H, W) int32 from 1, and their categories; jitter moves, removes and confuses things."""
        random = np.random.default_rng(seed * 10007 + self.number)
        width, height = self.size
        ids = np.full((height, width), 1, np.int32)
        skyline = 0.35 + 0.03 * np.sin(np.arange(width) / width * 9 + self.number / 20)
        ids[np.arange(height)[:, None] > (skyline + jitter * 0.02 * random.normal()) * height] = 2
        ids[int((0.62 + 0.01 * jitter * random.normal()) * height) :] = 3
        ids[int(0.45 * height) : int(0.62 * height), : int(0.3 * width)] = 4
        categories = [1, 2, 3, 4]
        for shape in self.shapes:
            if jitter and random.random() < 0.18:
                continue
            wrong = jitter and random.random() < 0.08
            categories.append(13 if wrong else shape.category)
            self._draw(ids, len(categories), shape, jitter * random.normal(size=4))
        return ids, categories

    def _draw(self, ids: np.ndarray, value: int, shape: Shape, noise: np.ndarray) -> None:
        width, height = self.size
        x = (shape.x + shape.speed * self.number + 0.01 * noise[0]) % 1.1 - 0.05
        center = round(x * width), round((shape.y + 0.008 * noise[1]) * height)
        axes = round(shape.width * width * (1 + 0.1 * noise[2])), round(shape.height * height * (1 + 0.1 * noise[3]))
        cv2.ellipse(ids, center, (max(2, axes[0]), max(2, axes[1])), 0, 0, 360, value, cv2.FILLED)


class Drawn:
    """Source of a run's frames for the images of a report."""

    def __init__(self, scenes: dict[FrameKey, Scene], *, truth: bool, jitter: float) -> None:
        self.scenes, self._truth, self._jitter = scenes, truth, jitter

    def images(self, key: FrameKey) -> FrameImages | None:
        """Yield the frames as documented; frames that are not drawn cannot be read."""
        scene = self.scenes.get(key)
        if scene is None:
            return None
        true, true_categories = scene.labels()
        predicted, categories = predicted_labels(scene, self._jitter)
        image = _photo(true, true_categories)
        if not self._truth:
            return FrameImages(image, _painted(predicted, categories), None, None)
        return FrameImages(
            image, _painted(predicted, categories), _painted(true, true_categories), _error(image, true, predicted)
        )


def predicted_labels(scene: Scene, jitter: float) -> tuple[np.ndarray, list[int]]:
    """A result: misplaced labels, some pixels without one."""
    ids, categories = scene.labels(jitter, seed=1)
    ids[: scene.size[1] // 12, : scene.size[0] // 3] = 0
    return ids, categories


def make_run(
    folder: Path,
    bags: dict[str, int],
    *,
    truth: bool = True,
    jitter: float = 1.0,
    size: tuple[int, int] = (320, 180),
    metadata: dict[str, Any] | None = None,
) -> tuple[EvaluationRun, Drawn]:
    """Create a run with a number of frames for each bag, some without a result, and its images."""
    scenes = {
        FrameKey(bag, "/camera/image_raw", index): scene
        for seed, (bag, frames) in enumerate(bags.items())
        for index, scene in enumerate(_drive(frames, size, seed))
    }
    frames, segments, confusion, overlaps = [], [], [], []
    trackers = {bag: Tracker() for bag in bags}
    for key, scene in scenes.items():
        names = {"bag": key.bag, "topic": key.topic, "index": key.index}
        row, score = _measured(scene, truth, jitter, trackers[key.bag])
        frames.append(names | row)
        segments += [names | one for one in score.segments]
        confusion += [names | one for one in score.confusion]
        overlaps += [names | one for one in score.overlaps]
    tables = frames_table(frames), segments_table(segments), confusion_table(confusion), overlaps_table(overlaps)
    run = EvaluationRun(folder, _about(bags, truth) | (metadata or {}), CATEGORIES, *tables)
    return run, Drawn(scenes, truth=truth, jitter=jitter)


def with_long_table(run: EvaluationRun, frames: int) -> EvaluationRun:
    """Repeat the table of frames of a run, as of a long recording."""
    copies = -(-frames // len(run.frames))
    table = pd.concat([run.frames] * copies, ignore_index=True).iloc[:frames]
    return replace(run, frames=table.assign(index=np.arange(frames), time=np.arange(frames) / 10))


def _drive(frames: int, size: tuple[int, int], seed: int) -> list[Scene]:
    random = np.random.default_rng(seed)
    shapes = []
    for category, width, height in ((12, 0.07, 0.06), (11, 0.012, 0.06), (13, 0.03, 0.04), (12, 0.03, 0.025)):
        for _ in range(2):
            x, y = random.random(), 0.6 + 0.25 * random.random()
            shapes.append(Shape(category, x, y, width, height, 0.004 * (1 + random.random())))
    return [Scene(number, size, tuple(shapes)) for number in range(frames)]


def _measured(scene: Scene, truth: bool, jitter: float, tracker: Tracker) -> tuple[dict[str, Any], Any]:
    """The row of a frame without its key, and its score."""
    random = np.random.default_rng(scene.number)
    ids, categories = predicted_labels(scene, jitter)
    result = tracker.update(_result(ids, categories, random), scene.number / 10)
    score = score_frame(result, _true_segments(scene), CATEGORIES) if truth else unscored_frame(result)
    things = [segment for segment in result.segments if segment.category.is_thing]
    stages = {name: mean * random.gamma(20, 0.05) for name, mean in STAGES.items()}
    row = {
        "stamp": 10**18 + scene.number * 10**8,
        "log_time": 10**18 + scene.number * 10**8,
        "time": scene.number / 10,
        "width": scene.size[0],
        "height": scene.size[1],
        "problem": "",
        "has_truth": truth,
        "latency": sum(stages.values()) * (1.0 + (random.random() > 0.95)),
        **stages,
        "segments": len(result.segments),
        "things": len(things),
        "unlabelled": float((ids == 0).mean()),
        "mean_score": float(np.mean([segment.score for segment in things])) if things else np.nan,
        "changed": np.nan if scene.number == 0 else float(random.gamma(2, 0.01)),
        "compared": 0.97,
        "pq": score.pq,
        "miou": score.miou,
        "picture": "",
    }
    return row, score


def _result(ids: np.ndarray, categories: list[int], random: np.random.Generator) -> PanopticResult:
    """Return the visible segments, with dense ids."""
    segments, dense = [], np.zeros_like(ids, np.uint16)
    for value in np.unique(ids[ids > 0]):
        mask = ids == value
        category = CATEGORIES.by_id[categories[value - 1]]
        rows, columns = np.nonzero(mask)
        box = (int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
        score = float(random.beta(6, 2)) if category.is_thing else 1.0
        center = float(columns.mean()), float(rows.mean())
        segments.append(Segment(len(segments) + 1, category, score, int(mask.sum()), box, center))
        dense[mask] = len(segments)
    return PanopticResult(dense, tuple(segments))


def _true_segments(scene: Scene) -> TrueSegments:
    ids, categories = scene.labels()
    return TrueSegments(ids, tuple(_true_segment(int(one), categories[one - 1]) for one in np.unique(ids)))


def _true_segment(value: int, category_id: int) -> TrueSegment:
    return TrueSegment(value, category_id, track_id=value if CATEGORIES.by_id[category_id].is_thing else 0)


def _about(bags: dict[str, int], truth: bool) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "lock-step",
        "model": {"name": "scenes_light", "hash": "0123456789abcdef" * 4},
        "device": "a test's CPU",
        "settings": {"score_threshold": 0.4, "precision": "fp32"},
        "categories": CATEGORIES.to_coco(),
        "bags": [
            {"name": bag, "path": f"bags/{bag}", "topics": {"/camera/image_raw": frames}}
            for bag, frames in bags.items()
        ],
        "ground_truth": "truth/panoptic.json" if truth else None,
        "created": "2026-01-02T03:04:05+00:00",
        "seconds": 75.0,
        "versions": {"torch": "2.14.1"},
        "command": "python -m ciae_ros.replay evaluate bags/*",
        "peak_memory": 700 * 2**20,
        "rate": None,
        "dropped": {},
    }


def _photo(ids: np.ndarray, categories: list[int]) -> np.ndarray:
    """Create a blurred and noisy image, as of a camera."""
    noise = np.random.default_rng(0).normal(0, 6, (*ids.shape, 3))
    soft = cv2.GaussianBlur(_painted(ids, categories), (0, 0), 1.5).astype(float)
    return np.clip(0.6 * soft + 60 + noise, 0, 255).astype(np.uint8)


def _painted(ids: np.ndarray, categories: list[int]) -> np.ndarray:
    palette = np.zeros((len(categories) + 1, 3), np.uint8)
    for number, category in enumerate(categories, 1):
        palette[number] = segment_color(number, CATEGORIES.by_id[category])
    return palette[ids]


def _error(image: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    picture = (0.35 * image).astype(np.uint8)
    picture[true != predicted] = (60, 60, 230)
    return picture
