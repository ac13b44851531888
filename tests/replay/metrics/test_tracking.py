# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Metrics of tracking: the reference values of a real sequence, PQ of concatenated frames, and what is ignored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ciae_ros.core.categories import Category, CategorySet
from ciae_ros.core.result import PanopticResult
from ciae_ros.core.segment_maps import panoptic_result
from ciae_ros.replay.bags.types import TrueSegment, TrueSegments
from ciae_ros.replay.metrics.identities import Identities
from ciae_ros.replay.metrics.matching import score_frame
from ciae_ros.replay.metrics.overlaps import with_things
from ciae_ros.replay.metrics.run_tables import EvaluationRun, overlaps_table
from ciae_ros.replay.metrics.summary import parse_requirements, summarize
from ciae_ros.replay.metrics.tracking import tracking_scores
from ciae_ros.replay.metrics.tubes import WINDOWS, segmentation_and_tracking_quality, video_panoptic_quality
from tests.replay.metrics import tables
from tests.tracking import bdd100k

ROAD = Category(1, "road", False, (0, 0, 0))
SKY = Category(2, "sky", False, (0, 0, 0))
CAR = Category(3, "car", True, (0, 0, 0))
PERSON = Category(4, "person", True, (0, 0, 0))
CATEGORIES = CategorySet((ROAD, SKY, CAR, PERSON))
HEIGHT, WIDTH = 40, 120

Things = dict[int, tuple[int, Category]]
"""Left column, of a width of 10, and category by track id; negative ids are crowds, those from 1000 have no track."""


def frame(things: Things) -> PanopticResult:
    ids = np.full((HEIGHT, WIDTH), 1, np.uint16)
    ids[:15] = 2
    segments = {1: (ROAD, 1.0), 2: (SKY, 1.0)}
    for number, (x, category) in enumerate(things.values(), start=3):
        ids[18:30, x : x + 10] = number
        segments[number] = category, 0.9
    result = panoptic_result(ids, segments)
    tracks = [0, 0, *(track if track < 1000 else 0 for track in things)]
    return PanopticResult(
        result.label_map,
        tuple(replace(one, track_id=max(track, 0)) for one, track in zip(result.segments, tracks, strict=True)),
    )


def truth_of(result: PanopticResult, crowds: Iterable[int] = (), void: np.ndarray | None = None) -> TrueSegments:
    ids = result.label_map.astype(np.int32)
    if void is not None:
        ids = np.where(void, 0, ids)
    present = [one for one in result.segments if (ids == one.id).any()]
    return TrueSegments(
        ids, tuple(TrueSegment(one.id, one.category.id, one.id in crowds, one.track_id) for one in present)
    )


def overlaps_of(
    pairs: Iterable[tuple[TrueSegments, PanopticResult]], categories: CategorySet = CATEGORIES, bag: str = "drive"
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for index, (truth, result) in enumerate(pairs):
        key = {"bag": bag, "topic": "/image", "index": index}
        rows += [key | one for one in score_frame(result, truth, categories).overlaps]
    return with_things(overlaps_table(rows), categories)


def pairs(truth: Iterable[Things], found: Iterable[Things]) -> list[tuple[TrueSegments, PanopticResult]]:
    return [(truth_of(frame(one)), frame(other)) for one, other in zip(truth, found, strict=True)]


@pytest.fixture(scope="module")
def reference(data: Path) -> pd.DataFrame:
    """The overlaps of the sample of BDD100K MOTS, whose crowds count as objects in the reference values."""
    sample = bdd100k.read_sample(data)
    categories = CategorySet((*bdd100k.CATEGORIES.values(), bdd100k.BACKGROUND))
    return overlaps_of(
        ((truth_of(true), found) for true, found in zip(*vars(sample).values(), strict=True)), categories
    )


def test_reference_values_of_stq(reference: pd.DataFrame) -> None:
    found = segmentation_and_tracking_quality(reference)
    assert found.stq == pytest.approx(0.4905, abs=5e-5)
    assert found.association == pytest.approx(0.5191, abs=5e-5)
    assert found.segmentation == pytest.approx(0.4635, abs=5e-5)


def test_reference_values_of_identities(reference: pd.DataFrame) -> None:
    identities = Identities(reference)
    found = identities.scores()
    assert found.hota == pytest.approx(0.624768, abs=5e-7)
    assert found.mota == pytest.approx(0.653846, abs=5e-7)
    assert found.idf1 == pytest.approx(0.741229, abs=5e-7)
    assert (found.switches, found.objects, found.tracks) == (35, 1768, 90)
    # The switches that are listed are those that motrics counts.
    assert len(identities.switches()) == found.switches


def concatenated(results: list[PanopticResult]) -> tuple[np.ndarray, dict[int, tuple[Category, int]]]:
    """Return frames side by side with one id for each tube, and its category and track."""
    tubes: dict[tuple[int, int], int] = {}
    content, maps = {}, []
    for result in results:
        table = np.zeros(len(result.segments) + 1, np.uint16)
        for one in result.segments:
            table[one.id] = tubes.setdefault((one.category.id, one.track_id), len(tubes) + 1)
            content[int(table[one.id])] = one.category, one.track_id
        maps.append(table[result.label_map])
    return np.concatenate(maps, axis=1), content


def windows_pq(true: list[PanopticResult], found: list[PanopticResult], length: int, categories: CategorySet) -> float:
    """VPQ as its definition says: PQ of the frames of each window as one image."""
    segments = []
    for start in range(len(true) - length + 1):
        window = slice(start, start + length)
        ids, tubes = concatenated(true[window])
        truth = TrueSegments(
            ids.astype(np.int32), tuple(TrueSegment(number, one[0].id) for number, one in tubes.items())
        )
        label_map, tubes = concatenated(found[window])
        result = panoptic_result(label_map, {number: (one[0], 0.9) for number, one in tubes.items()})
        segments += score_frame(result, truth, categories).segments
    run = tables.run([], [{"bag": "drive", "topic": "/image", "index": 0} | one for one in segments])
    return summarize(replace(run, categories=categories))["pq"] / 100


def test_vpq_is_the_pq_of_concatenated_frames(data: Path) -> None:
    sample = bdd100k.read_sample(data)
    categories = CategorySet((*bdd100k.CATEGORIES.values(), bdd100k.BACKGROUND))
    true, found = sample.truth[40:46], sample.predictions[40:46]
    of_length = video_panoptic_quality(
        overlaps_of(((truth_of(one), other) for one, other in zip(true, found, strict=True)), categories)
    )
    assert of_length.keys() == set(WINDOWS)
    for length, value in of_length.items():
        assert value == pytest.approx(windows_pq(true, found, length, categories))


DRIVE: list[Things] = [{1: (5 + 2 * n, CAR), 2: (60 + n, PERSON)} for n in range(6)]


def test_perfect_results_have_perfect_scores() -> None:
    overlaps = overlaps_of(pairs(DRIVE, DRIVE))
    assert segmentation_and_tracking_quality(overlaps) == pytest.approx((1, 1, 1))
    assert list(video_panoptic_quality(overlaps).values()) == pytest.approx([1, 1, 1, 1])
    found = Identities(overlaps).scores()
    assert (found.hota, found.association, found.mota, found.idf1, found.switches) == pytest.approx((1, 1, 1, 1, 0))


def test_a_switch_costs_association_only_and_is_listed() -> None:
    found = [{(7 if n >= 3 and track == 1 else track): one for track, one in DRIVE[n].items()} for n in range(6)]
    overlaps = overlaps_of(pairs(DRIVE, found))
    quality = segmentation_and_tracking_quality(overlaps)
    # The car's pixels have either id in half of the frames: 2 x 1/2 x IoU 1/2.
    assert (quality.association, quality.segmentation) == pytest.approx((0.75, 1))
    identities = Identities(overlaps)
    assert identities.scores().detection == pytest.approx(1)
    assert identities.switches().to_dict("records") == [
        {"bag": "drive", "topic": "/image", "index": 3, "category_id": 3, "true_track": 1, "before": 1, "after": 7}
    ]
    assert identities.scores(PERSON.id).switches == 0
    of_length = video_panoptic_quality(overlaps)
    assert of_length[1] == pytest.approx(1)
    assert of_length[2] > of_length[3] < 1


def test_sequences_have_tracks_of_their_own() -> None:
    both = pd.concat([overlaps_of(pairs(DRIVE, DRIVE), bag=bag) for bag in ("a", "b")], ignore_index=True)
    found = Identities(both).scores()
    assert (found.tracks, found.hota) == pytest.approx((4, 1))
    assert segmentation_and_tracking_quality(both).stq == pytest.approx(1)


def test_things_without_an_id_are_found_but_not_identified() -> None:
    found = [{1000 + 10 * n + k: one for k, one in enumerate(DRIVE[n].values())} for n in range(6)]
    scores = Identities(overlaps_of(pairs(DRIVE, found))).scores()
    assert scores.detection == pytest.approx(1)
    assert scores.association == pytest.approx(1 / 6)
    assert scores.switches == 10


def test_results_on_crowds_and_void_are_neither_right_nor_wrong() -> None:
    void = np.zeros((HEIGHT, WIDTH), bool)
    void[16:32, 100:] = True
    true = [{**things, -1: (30, CAR)} for things in DRIVE]
    truth = [truth_of(frame(things), crowds=[5], void=void) for things in true]
    found = [{**things, 8: (31, CAR), 9: (104, PERSON)} for things in DRIVE]
    overlaps = overlaps_of(zip(truth, map(frame, found), strict=True))
    scores = Identities(overlaps).scores()
    assert (scores.hota, scores.mota, scores.objects) == pytest.approx((1, 1, 12))
    assert list(video_panoptic_quality(overlaps).values()) == pytest.approx([1, 1, 1, 1], abs=0.02)


def test_stq_ignores_ids_on_crowds_but_not_on_void() -> None:
    on_crowd = [*pairs(DRIVE, DRIVE), (truth_of(frame({-1: (30, CAR)}), crowds=[3]), frame({1: (30, CAR)}))]
    assert segmentation_and_tracking_quality(overlaps_of(on_crowd)).association == pytest.approx(1)
    void = frame({1: (30, CAR)}).label_map == 3
    on_void = [*pairs(DRIVE, DRIVE), (truth_of(frame({1: (30, CAR)}), void=void), frame({1: (30, CAR)}))]
    # As in the reference: the car has a seventh of its pixels on void.
    assert segmentation_and_tracking_quality(overlaps_of(on_void)).association == pytest.approx((1 + 6 / 7) / 2)


def run_of(overlaps: pd.DataFrame) -> EvaluationRun:
    return replace(tables.run([tables.frame(0)], []), overlaps=overlaps, categories=CATEGORIES)


def test_the_summary_has_the_metrics_and_they_can_be_required() -> None:
    summary = summarize(run_of(overlaps_of(pairs(DRIVE, DRIVE))))
    assert [summary[name] for name in ("stq", "aq", "vpq", "hota", "assa", "mota", "idf1")] == pytest.approx([100] * 7)
    assert summary["switches"] == 0
    assert [one.name for one in parse_requirements("hota>=60 switches<=3")] == ["hota", "switches"]


@pytest.mark.parametrize("missing", ["truth", "results", "all"])
def test_without_tracks_there_are_no_metrics(missing: str) -> None:
    without = [{1000 + k: one for k, one in enumerate(things.values())} for things in DRIVE]
    truth, found = (without if missing in (name, "all") else DRIVE for name in ("truth", "results"))
    run = run_of(overlaps_of(pairs(truth, found)))
    assert tracking_scores(run) is None
    assert np.isnan(summarize(run)["hota"])
