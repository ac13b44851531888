# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Two engines compute the same scores, which agree with their definitions."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ciae_ros.core.coco_panoptic import PanopticAnnotations, write_results
from ciae_ros.inference import CategorySet
from tests.training.evaluation import official_engine
from tests.training.synthetic import (
    CAR,
    CATEGORIES,
    PERSON,
    ROAD,
    SKY,
    perfect,
    perturbed,
    result_of,
    scene,
    write_split,
)
from training.evaluation import hotcoco_engine
from training.evaluation.metrics import Engine, compute_scores
from training.evaluation.scores import ClassScores, Scores, format_scores

ENGINES = (hotcoco_engine, official_engine)


@pytest.fixture
def tiny(tmp_path: Path) -> PanopticAnnotations:
    return write_split(tmp_path, {number: scene(number) for number in range(1, 7)})


def write_perturbed(annotations: PanopticAnnotations, path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    results = (
        (
            i,
            entry["file_name"],
            perturbed(annotations.segment_ids(i), entry["segments_info"], annotations.categories, rng),
        )
        for i, entry in annotations.annotations.items()
    )
    write_results(results, path, annotations)
    return path


def write_perfect(annotations: PanopticAnnotations, path: Path) -> Path:
    results = (
        (i, entry["file_name"], perfect(annotations.segment_ids(i), entry["segments_info"], annotations.categories))
        for i, entry in annotations.annotations.items()
    )
    write_results(results, path, annotations)
    return path


def assert_same(left: Scores, right: Scores) -> None:
    for name in ("all", "things", "stuff", "box_ap"):
        assert vars(getattr(left, name)) == pytest.approx(vars(getattr(right, name)), abs=1e-9, nan_ok=True)
    assert left.per_class.keys() == right.per_class.keys()
    for category_id, scores in left.per_class.items():
        assert vars(scores) == pytest.approx(vars(right.per_class[category_id]), abs=1e-9, nan_ok=True)
    assert left.mean_iou == pytest.approx(right.mean_iou, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_engines_agree_on_wrong_results(tiny: PanopticAnnotations, tmp_path: Path, seed: int) -> None:
    path = write_perturbed(tiny, tmp_path / "results.json", seed)
    ours, official = (compute_scores(tiny, path, engine) for engine in ENGINES)
    assert_same(ours, official)
    for quality in (ours.all, ours.things, ours.stuff):
        assert 0.1 < quality.pq < quality.sq < 1
        assert quality.num_classes >= 2
    assert 0 < ours.box_ap.ap < ours.box_ap.ap50 < 1
    assert 0 < ours.mean_iou < 1


@pytest.mark.parametrize("ids", [("a", "b", 7), (-1, -2, -3), (2**40, 2**40 + 1, 0)])
def test_ids_of_images_do_not_affect_scores(ids: tuple[int | str, ...], tmp_path: Path) -> None:
    tiny = write_split(tmp_path / "data", {number: scene(number) for number in (1, 2, 3)})
    expected = compute_scores(tiny, write_perturbed(tiny, tmp_path / "expected.json"))
    content = json.loads(tiny.path.read_text())
    for image, annotation, image_id in zip(content["images"], content["annotations"], ids, strict=True):
        image["id"] = annotation["image_id"] = image_id
    tiny.path.write_text(json.dumps(content))
    renamed = PanopticAnnotations.load(tiny.path)
    path = write_perturbed(renamed, tmp_path / "renamed.json")
    assert [entry["image_id"] for entry in json.loads(path.read_text())["annotations"]] == list(ids)
    for engine in ENGINES:
        assert_same(compute_scores(renamed, path, engine), expected)


def test_engines_agree_on_real_images(data: Path, tmp_path: Path) -> None:
    annotations = PanopticAnnotations.load(data / "coco_panoptic_mini" / "annotations" / "panoptic_val2017.json")
    annotations = with_crowds_and_void(annotations.first(8))
    path = write_perturbed(annotations, tmp_path / "results.json")
    ours, official = (compute_scores(annotations, path, engine) for engine in ENGINES)
    assert_same(ours, official)
    assert 0.1 < ours.all.pq < 0.95
    assert len(ours.per_class) > 30
    assert 0 < ours.box_ap.ap < ours.box_ap.ap50 < 1
    assert ours.mean_iou == pytest.approx(brute_force_mean_iou(annotations, path))


def with_crowds_and_void(annotations: PanopticAnnotations) -> PanopticAnnotations:
    """In every image one thing is declared a crowd, and another segment is unlisted and thus void."""
    changed = {}
    for image_id, entry in annotations.annotations.items():
        infos = [dict(info) for info in entry["segments_info"]][1:]
        things = [info for info in infos if annotations.categories.by_id[info["category_id"]].is_thing]
        for info in things[:1]:
            info["iscrowd"] = 1
        changed[image_id] = {**entry, "segments_info": infos}
    return replace(annotations, annotations=changed)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__.rpartition(".")[2])
def test_mean_iou_equals_a_brute_force(tiny: PanopticAnnotations, tmp_path: Path, engine: Engine) -> None:
    path = write_perturbed(tiny, tmp_path / "results.json")
    scores = compute_scores(tiny, path, engine)
    assert scores.mean_iou == pytest.approx(brute_force_mean_iou(tiny, path))


def brute_force_mean_iou(truth: PanopticAnnotations, path: Path) -> float:
    """Masks of each class in each image, one after the other."""
    results = PanopticAnnotations.load(path)
    intersection, union = dict.fromkeys(truth.categories.by_id, 0), dict.fromkeys(truth.categories.by_id, 0)
    for image_id in truth.annotations:
        listed = [info["id"] for info in truth.annotations[image_id]["segments_info"]]
        labelled = np.isin(truth.segment_ids(image_id), listed)
        for category_id in _categories_in(truth, image_id) | _categories_in(results, image_id):
            true, found = (_class_mask(side, image_id, category_id) & labelled for side in (truth, results))
            intersection[category_id] += (true & found).sum()
            union[category_id] += (true | found).sum()
    return float(np.mean([intersection[c] / union[c] for c in union if union[c]]))


def _categories_in(annotations: PanopticAnnotations, image_id: int) -> set[int]:
    return {info["category_id"] for info in annotations.annotations[image_id]["segments_info"]}


def _class_mask(annotations: PanopticAnnotations, image_id: int, category_id: int) -> np.ndarray:
    infos = annotations.annotations[image_id]["segments_info"]
    return np.isin(
        annotations.segment_ids(image_id), [info["id"] for info in infos if info["category_id"] == category_id]
    )


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__.rpartition(".")[2])
def test_perfect_results(tiny: PanopticAnnotations, tmp_path: Path, engine: Engine) -> None:
    scores = compute_scores(tiny, write_perfect(tiny, tmp_path / "results.json"), engine)
    for quality in (scores.all, scores.things, scores.stuff):
        assert (quality.pq, quality.sq, quality.rq) == (1.0, 1.0, 1.0)
    assert scores.all.num_classes == 4
    assert vars(scores.box_ap) == pytest.approx({"ap": 1.0, "ap50": 1.0, "ap75": 1.0})
    # A crowd's pixels belong to its class, and are not part of any result.
    assert scores.per_class[PERSON].iou < 1
    assert [scores.per_class[c].iou for c in (ROAD, SKY, CAR)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__.rpartition(".")[2])
def test_scores_of_a_scene_worked_out_by_hand(tmp_path: Path, engine: Engine) -> None:
    ids = np.zeros((10, 20), np.int64)
    ids[:, :8], ids[:, 8:10], ids[:, 14:] = 1, 2, 3  # void between the second and the third
    infos = [
        {"id": 1, "category_id": CAR, "area": 80, "bbox": [0, 0, 8, 10], "iscrowd": 0},
        {"id": 2, "category_id": CAR, "area": 20, "bbox": [8, 0, 2, 10], "iscrowd": 0},
        {"id": 3, "category_id": ROAD, "area": 60, "bbox": [14, 0, 6, 10], "iscrowd": 0},
    ]
    truth = write_split(tmp_path, {1: (ids, infos)})
    found = np.zeros_like(ids)
    found[:, :8], found[:, 10:14], found[:, 15:] = 1, 2, 3
    categories = {1: CAR, 2: PERSON, 3: ROAD}
    result = result_of(found, categories, CATEGORIES, np.random.default_rng(0))
    write_results([(1, "0001.png", result)], tmp_path / "results.json", truth)
    scores = compute_scores(truth, tmp_path / "results.json", engine)
    # One car found, one missed: RQ is 1 / (1 + 1 / 2). The person lies in void and does not count.
    assert vars(scores.per_class[CAR]) == pytest.approx(
        {"pq": 2 / 3, "sq": 1.0, "rq": 2 / 3, "iou": 0.8, "false_positives": 0.0}
    )
    assert vars(scores.per_class[ROAD]) == pytest.approx(
        {"pq": 5 / 6, "sq": 5 / 6, "rq": 1.0, "iou": 5 / 6, "false_positives": 0.0}
    )
    assert scores.per_class.keys() == {CAR, ROAD}
    assert scores.things.num_classes == scores.stuff.num_classes == 1
    assert scores.all.pq == pytest.approx((2 / 3 + 5 / 6) / 2)
    assert scores.mean_iou == pytest.approx((0.8 + 5 / 6) / 2)
    # Precision is 1 at the 51 of 101 recall thresholds up to 0.5.
    assert scores.box_ap.ap == pytest.approx(51 / 101)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__.rpartition(".")[2])
def test_invented_things_are_counted(tmp_path: Path, engine: Engine) -> None:
    """Two images show nothing but sky; in the first one, two cars and a person are found."""
    ids = np.ones((10, 20), np.int64)
    info = {"id": 1, "category_id": SKY, "area": 200, "bbox": [0, 0, 20, 10], "iscrowd": 0}
    truth = write_split(tmp_path, {1: (ids, [info]), 2: (ids, [info])})
    found = ids.copy()
    found[:2, :3], found[:2, 5:8], found[5:8, :4] = 2, 3, 4
    categories, rng = {1: SKY, 2: CAR, 3: CAR, 4: PERSON}, np.random.default_rng(0)
    results = [(1, "0001.png", result_of(found, categories, CATEGORIES, rng))]
    results.append((2, "0002.png", result_of(ids, {1: SKY}, CATEGORIES, rng)))
    write_results(results, tmp_path / "results.json", truth)
    scores = compute_scores(truth, tmp_path / "results.json", engine)
    assert (scores.all.false_positives, scores.things.false_positives, scores.stuff.false_positives) == (1.5, 1.5, 0)
    assert {key: one.false_positives for key, one in scores.per_class.items()} == {SKY: 0, CAR: 1.0, PERSON: 0.5}
    assert "car    thing    0.0    0.0    0.0    0.0   1.00" in format_scores(scores, CATEGORIES)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__.rpartition(".")[2])
def test_images_without_things(tmp_path: Path, engine: Engine) -> None:
    ids = np.ones((8, 8), np.int64)
    info = {"id": 1, "category_id": SKY, "area": 64, "bbox": [0, 0, 8, 8], "iscrowd": 0}
    truth = write_split(tmp_path, {1: (ids, [info])})
    scores = compute_scores(truth, write_perfect(truth, tmp_path / "results.json"), engine)
    assert scores.stuff.pq == scores.all.pq == scores.mean_iou == 1.0
    assert scores.things.num_classes == 0
    assert math.isnan(scores.things.pq) and math.isnan(scores.box_ap.ap)
    written = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert (written["things"]["pq"], written["box_ap"]["ap"], written["mean_iou"]) == (None, None, 1.0)
    assert "things          -" in format_scores(scores, CATEGORIES)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__.rpartition(".")[2])
def test_results_without_things_or_without_anything(tiny: PanopticAnnotations, tmp_path: Path, engine: Engine) -> None:
    nothing = result_of(np.zeros((60, 80), np.int64), {}, CATEGORIES, np.random.default_rng(0))
    results = ((i, entry["file_name"], nothing) for i, entry in tiny.annotations.items())
    write_results(results, tmp_path / "results.json", tiny)
    scores = compute_scores(tiny, tmp_path / "results.json", engine)
    assert (scores.all.pq, scores.all.num_classes, scores.mean_iou) == (0.0, 4, 0.0)
    assert scores.box_ap.ap == scores.box_ap.ap50 == 0.0


def test_results_for_the_test_server_have_no_boxes_or_scores_and_then_no_ap(
    tiny: PanopticAnnotations, tmp_path: Path
) -> None:
    path = write_perfect(tiny, tmp_path / "results.json")
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        entry["segments_info"] = [{key: info[key] for key in ("id", "category_id")} for info in entry["segments_info"]]
    path.write_text(json.dumps({"annotations": content["annotations"]}))
    for engine in ENGINES:
        scores = compute_scores(tiny, path, engine)
        assert scores.all.pq == 1.0
        assert math.isnan(scores.box_ap.ap)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__.rpartition(".")[2])
def test_results_that_do_not_fit_are_refused(tiny: PanopticAnnotations, tmp_path: Path, engine: Engine) -> None:
    path = write_perfect(tiny, tmp_path / "results.json")
    content = json.loads(path.read_text())

    def refused(message: str, annotations: object) -> None:
        path.write_text(json.dumps({"annotations": annotations}))
        with pytest.raises(ValueError, match=message):
            compute_scores(tiny, path, engine)

    first, *rest = content["annotations"]
    refused("no result for image 1", rest)
    refused("no category 99", [{**first, "segments_info": [{"id": 1, "category_id": 99}]}, *rest])
    refused(r"results\.json: .*segment", [{**first, "segments_info": first["segments_info"][1:]}, *rest])
    unseen = [*first["segments_info"], {"id": 77, "category_id": SKY}]
    refused(r"results\.json: .*77", [{**first, "segments_info": unseen}, *rest])
    refused("not in COCO's panoptic format", [{"image_id": 1}])
    refused(r"gone\.png is missing", [{**first, "file_name": "gone.png"}, *rest])
    path.write_text("{")
    with pytest.raises(ValueError, match=r"results\.json is not in COCO's panoptic format"):
        compute_scores(tiny, path, engine)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__.rpartition(".")[2])
def test_corrupt_png_of_a_result_is_refused(tiny: PanopticAnnotations, tmp_path: Path, engine: Engine) -> None:
    path = write_perfect(tiny, tmp_path / "results.json")
    (tmp_path / "results" / "0002.png").write_bytes(b"no PNG")
    with pytest.raises((ValueError, OSError), match=r"0002\.png"):
        compute_scores(tiny, path, engine)


def test_classes_with_the_same_name_are_distinguished(tiny: PanopticAnnotations, tmp_path: Path) -> None:
    path = write_perturbed(tiny, tmp_path / "results.json")
    expected = compute_scores(tiny, path)
    renamed = CategorySet(tuple(replace(category, name="same") for category in CATEGORIES.categories))
    assert_same(compute_scores(replace(tiny, categories=renamed), path), expected)


def test_table_shows_percent(tiny: PanopticAnnotations, tmp_path: Path) -> None:
    scores = compute_scores(tiny, write_perfect(tiny, tmp_path / "results.json"))
    scores.per_class[CAR] = ClassScores(0.125, 0.25, 0.5, math.nan, 1.5)
    lines = format_scores(scores, CATEGORIES).splitlines()
    assert lines[1].split() == ["all", "100.0", "100.0", "100.0", "4", "0.00"]
    assert "car    thing   12.5   25.0   50.0      -   1.50" in lines
    assert len(format_scores(scores, CATEGORIES, per_class=False).splitlines()) == len(lines) - 6
