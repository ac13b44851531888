# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Tracks in runs: the same in one piece and in shards, and scored against the tracks of the ground truth."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.coco_panoptic import write_segment_ids
from ciae_ros.core.result import PanopticResult
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.inference.stage_times import StageTimes
from ciae_ros.replay.bags.bag_writing import write_bag
from ciae_ros.replay.bags.ground_truth import open_ground_truth
from ciae_ros.replay.evaluation.run_folder import RunFolder
from ciae_ros.replay.evaluation.shard_evaluation import ShardEvaluator
from ciae_ros.replay.evaluation.shards import Shard, split_into_shards
from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.metrics.summary import summarize

ROAD, CAR = Category(1, "road", False, (128, 64, 128)), Category(2, "car", True, (0, 0, 142))
CATEGORIES = CategorySet((ROAD, CAR))
TOPIC = "/image"
FRAMES = 45
HEIGHT, WIDTH = 120, 320
BRIGHTNESS = (90, 140, 190, 240)
"""Of the cars, one of which starts later than the others."""
SECOND = 10**9


def labels_of(image: np.ndarray) -> np.ndarray:
    """Return the segment ids of an image: a stand-in for the network that depends on the image."""
    labels = np.ones(image.shape[:2], np.uint16)
    for number, brightness in enumerate(BRIGHTNESS, start=2):
        labels[image[..., 0] == brightness] = number
    return labels


def result_of(image: np.ndarray) -> PanopticResult:
    return panoptic_result(labels_of(image), {1: (ROAD, 1.0)} | {2 + n: (CAR, 0.9) for n in range(len(BRIGHTNESS))})


class Pipeline:
    """Segments by brightness."""

    def warm_up(self, height: int, width: int) -> None:
        pass

    def submit(self, images: list[tuple[np.ndarray, str]]) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(([result_of(image) for image, _ in images], StageTimes(0.0, 0.0, 0.0, 0.0, 0.0)))
        return done


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Cars that cross; each hides behind another one for a while."""
    made = []
    for number in range(FRAMES):
        image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        for car, brightness in enumerate(BRIGHTNESS):
            x = (10 + 6 * number, 280 - 6 * number)[car % 2]
            if car < 3 or number > 20:
                y = 15 + 30 * (car // 2) + 8 * (car % 2)
                cv2.rectangle(image, (x, y), (x + 29, y + 21), (brightness,) * 3, cv2.FILLED)
        made.append(image)
    return made


@pytest.fixture(scope="module")
def bag(images: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    write_bag(path, ((TOPIC, SECOND + i * SECOND // 10, image) for i, image in enumerate(images)))
    return path


@pytest.fixture(scope="module")
def truth(images: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ground truth in COCO's panoptic format, in which each car's brightness is its track."""
    path = tmp_path_factory.mktemp("truth") / "panoptic_drive.json"
    annotations = []
    for number, image in enumerate(images):
        labels = labels_of(image)
        write_segment_ids(path.with_suffix("") / f"{number}.png", labels)
        infos = [{"id": 1, "category_id": 1, "iscrowd": 0}]
        infos += [
            {"id": one, "category_id": 2, "iscrowd": 0, "track_id": BRIGHTNESS[one - 2]}
            for one in np.unique(labels).tolist()
            if one > 1
        ]
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": infos})
    entries = [{"id": number, "file_name": f"{number}.png"} for number in range(FRAMES)]
    content = {"images": entries, "annotations": annotations, "categories": CATEGORIES.to_coco()}
    path.write_text(json.dumps(content))
    return path


def run(bag: Path, truth: Path, folder: Path, shard_frames: int, without: int | None = None) -> EvaluationRun:
    predictor = SimpleNamespace(categories=CATEGORIES, device=SimpleNamespace(type="cpu"))
    opened = open_ground_truth(truth, CATEGORIES)
    evaluator = ShardEvaluator(predictor, Pipeline(), lambda _: opened)  # type: ignore[arg-type]
    shards = split_into_shards(bag, "drive", TOPIC, FRAMES, shard_frames)
    written = RunFolder(folder, {"categories": CATEGORIES.to_coco()})
    order: list[Shard] = [shard for number, shard in enumerate(shards) if number != without]
    for shard in order[::-1]:
        written.write(shard, evaluator.run(shard))
    return written.finish(shards, {})


def test_tracks_are_those_of_the_ground_truth(bag: Path, truth: Path, tmp_path: Path) -> None:
    found = run(bag, truth, tmp_path / "run", FRAMES)
    summary = summarize(found)
    assert summary["switches"] == 0
    assert [summary[name] for name in ("stq", "hota", "idf1", "vpq")] == pytest.approx([100] * 4)
    assert set(found.segments["track_id"]) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("shard_frames", [25, 12, 7])
def test_tracks_do_not_depend_on_the_shards(bag: Path, truth: Path, tmp_path: Path, shard_frames: int) -> None:
    whole = run(bag, truth, tmp_path / "whole", FRAMES)
    parts = run(bag, truth, tmp_path / "parts", shard_frames)
    for name in ("segments", "overlaps"):
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(parts, name))


def test_a_missing_shard_ends_tracks(bag: Path, truth: Path, tmp_path: Path) -> None:
    found = run(bag, truth, tmp_path / "run", 12, without=1)
    assert set(found.frames["index"]) == set(range(FRAMES)) - set(range(12, 24))
    before, after = (
        set(found.segments.loc[rows, "track_id"]) - {0}
        for rows in (found.segments["index"] < 12, found.segments["index"] >= 24)
    )
    assert len(before) == 3
    assert len(after) == 4
    assert not before & after
