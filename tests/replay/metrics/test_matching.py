# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The sum of the frames' matchings gives the official PQ and mIoU; the rows contain the outcome of each segment."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import PanopticAnnotations, write_results
from ciae_ros.inference import PanopticResult
from ciae_ros.replay.bags.types import GroundTruthError, TrueSegment, TrueSegments
from ciae_ros.replay.metrics.matching import FrameScore, score_frame, unscored_frame
from ciae_ros.replay.metrics.quality import mean_iou, mean_pq, per_class_iou, quality, summary_quality
from ciae_ros.replay.metrics.run_tables import confusion_table, segments_table
from tests.training.evaluation import official_engine
from tests.training.synthetic import CAR, CATEGORIES, PERSON, ROAD, SKY, Infos, result_of, scene, write_split
from training.evaluation import hotcoco_engine
from training.evaluation.metrics import compute_scores

KEY = {"bag": "drive", "topic": "/image"}


def truth_of(ids: np.ndarray, infos: Infos) -> TrueSegments:
    segments = tuple(TrueSegment(one["id"], one["category_id"], bool(one["iscrowd"])) for one in infos)
    return TrueSegments(ids.astype(np.int32), segments)


def disturbed(ids: np.ndarray, infos: Infos, rng: np.random.Generator) -> PanopticResult:
    """The scene with wrong boundaries, classes and objects; crowds as an object or missing."""
    moved = np.roll(ids, rng.integers(-4, 5, 2), axis=(0, 1))
    category_of = {one["id"]: one["category_id"] for one in infos}
    for segment in list(category_of):
        if rng.random() < 0.2:
            category_of[segment] = int(rng.choice([ROAD, SKY, CAR, PERSON]))
        if rng.random() < 0.15:
            del category_of[segment]
    for number in range(rng.integers(0, 4)):
        y, x = rng.integers(0, 50, 2)
        moved[y : y + rng.integers(2, 20), x : x + rng.integers(2, 20)] = 900000 + number
        category_of[900000 + number] = int(rng.choice([CAR, PERSON]))
    return result_of(moved, category_of, CATEGORIES, rng)


def tables(scores: list[FrameScore]) -> tuple:
    segments = [KEY | {"index": index} | row for index, score in enumerate(scores) for row in score.segments]
    confusion = [KEY | {"index": index} | row for index, score in enumerate(scores) for row in score.confusion]
    return segments_table(segments), confusion_table(confusion)


@pytest.mark.parametrize("seed", range(6))
def test_sums_are_the_official_scores(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    scenes = {number: scene(number, crowd=number % 3 > 0) for number in range(1, 9)}
    annotations: PanopticAnnotations = write_split(tmp_path, scenes)
    results = {number: disturbed(*one, rng) for number, one in scenes.items()}
    path = tmp_path / "results.json"
    write_results(((number, f"{number:04}.png", result) for number, result in results.items()), path, annotations)
    scores = [score_frame(results[number], truth_of(*one), CATEGORIES) for number, one in scenes.items()]
    segments, confusion = tables(scores)
    per_class = quality(segments, CATEGORIES)
    iou = per_class_iou(confusion, CATEGORIES)
    for engine in (official_engine, hotcoco_engine):
        expected = compute_scores(annotations, path, engine)
        for which in ("all", "things", "stuff"):
            found, wanted = summary_quality(per_class, which), getattr(expected, which)
            assert (found.pq, found.sq, found.rq) == pytest.approx((wanted.pq, wanted.sq, wanted.rq), abs=1e-9)
        assert mean_iou(confusion, CATEGORIES) == pytest.approx(expected.mean_iou, abs=1e-9)
        for category_id, of_class in expected.per_class.items():
            assert iou[category_id] == pytest.approx(of_class.iou, abs=1e-9, nan_ok=True)
    assert mean_pq(segments) == pytest.approx(summary_quality(per_class).pq)


def test_a_frames_own_scores_are_those_of_its_rows() -> None:
    rng = np.random.default_rng(1)
    for number in range(1, 6):
        ids, infos = scene(number)
        score = score_frame(disturbed(ids, infos, rng), truth_of(ids, infos), CATEGORIES)
        segments, confusion = tables([score])
        assert score.pq == pytest.approx(mean_pq(segments))
        assert score.miou == pytest.approx(mean_iou(confusion, CATEGORIES))


def test_perfect_result() -> None:
    ids, infos = scene(1, crowd=False)
    category_of = {one["id"]: one["category_id"] for one in infos}
    result = result_of(ids, category_of, CATEGORIES, np.random.default_rng(0))
    score = score_frame(result, truth_of(ids, infos), CATEGORIES)
    assert {row["outcome"] for row in score.segments} == {"tp"}
    assert (score.pq, score.miou) == (1.0, 1.0)
    assert {row["id"] for row in score.segments} == set(range(1, len(infos) + 1))
    areas = {row["id"]: row["area"] for row in score.segments}
    assert areas == {segment.id: segment.area for segment in result.segments}


def test_nothing_found_and_nothing_there() -> None:
    ids, infos = scene(1, crowd=False)
    nothing = result_of(ids, {}, CATEGORIES, np.random.default_rng(0))
    missed = score_frame(nothing, truth_of(ids, infos), CATEGORIES)
    assert [row["outcome"] for row in missed.segments] == ["fn"] * len(infos)
    assert missed.pq == missed.miou == 0
    assert {row["predicted_id"] for row in missed.confusion} == {0}
    everything = result_of(ids, {one["id"]: one["category_id"] for one in infos}, CATEGORIES, np.random.default_rng(0))
    void = score_frame(everything, TrueSegments(np.zeros_like(ids, np.int32), ()), CATEGORIES)
    assert {row["outcome"] for row in void.segments} == {"ignored"}
    assert void.confusion == []
    assert math.isnan(void.pq)
    assert math.isnan(void.miou)


def test_distance_is_that_of_the_centroid() -> None:
    ids = np.zeros((40, 80), np.int32)
    ids[18:22, 38:42] = 1
    ids[:2, :2] = 2
    result = result_of(ids, {1: CAR, 2: CAR}, CATEGORIES, np.random.default_rng(0))
    middle, corner = (row["distance"] for row in unscored_frame(result).segments)
    assert middle == pytest.approx(0, abs=1e-9)
    assert corner == pytest.approx(math.hypot(19, 39) / math.hypot(20, 40))


def test_truth_that_does_not_fit() -> None:
    ids, _ = scene(1)
    result = result_of(ids, {}, CATEGORIES, np.random.default_rng(0))
    with pytest.raises(GroundTruthError, match="80 x 30 pixels, the result 80 x 60"):
        score_frame(result, TrueSegments(ids[:30].astype(np.int32), ()), CATEGORIES)
    with pytest.raises(GroundTruthError, match="has category 99"):
        score_frame(result, TrueSegments(ids.astype(np.int32), (TrueSegment(1, 99),)), CATEGORIES)
