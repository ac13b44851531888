# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Matching of a frame's result with its ground truth: matched, wrong and missed segments, as in panopticapi."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ciae_ros.core.run_lengths import encode_runs
from ciae_ros.inference import CategorySet, PanopticResult
from ciae_ros.replay.bags.types import GroundTruthError, TrueSegments
from ciae_ros.replay.metrics.overlaps import overlap_rows

MATCHING_IOU = 0.5
"""IoU above which segments of a class match; there is at most one match for each."""
MAX_IGNORED_SHARE = 0.5
"""Share of void or crowd pixels above which an unmatched predicted segment is ignored."""

TP, FP, FN, IGNORED, UNSCORED = "tp", "fp", "fn", "ignored", "unscored"


@dataclass(frozen=True)
class FrameScore:
    """Rows for the tables, without the frame's key, and the scores of the frame."""

    segments: list[dict[str, Any]]
    confusion: list[dict[str, Any]]
    pq: float
    """PQ averaged over the classes in the ground truth or the result; NaN if there are none."""
    miou: float
    """IoU of pixels averaged over the same classes."""
    overlaps: list[dict[str, Any]] = field(default_factory=list)
    """Rows of the table of overlaps."""


@dataclass(frozen=True)
class _Overlap:
    """Overlap of the true and the predicted segments."""

    pixels: np.ndarray
    """(T + 1, P + 1) common pixels; row and column 0 are void and unlabelled."""
    true_distances: np.ndarray
    """(T + 1,) distances of the centroids from the image centre; 1 is a corner."""
    predicted_distances: np.ndarray
    """(P + 1,) distances of the predicted segments."""


def unscored_frame(result: PanopticResult) -> FrameScore:
    """Make the rows of a frame without ground truth."""
    distances = _distances(result.label_map, len(result.segments) + 1)
    rows = [
        _row(UNSCORED, segment.category.id, segment.category.is_thing, 0.0, segment.score, segment.area, distance)
        | {"id": segment.id, "track_id": segment.track_id}
        for segment, distance in zip(result.segments, distances[1:], strict=True)
    ]
    return FrameScore(rows, [], math.nan, math.nan)


def score_frame(result: PanopticResult, truth: TrueSegments, categories: CategorySet) -> FrameScore:
    """Match a frame's segments with the true ones.

    Args:
        result: result of the frame.
        truth: ground truth of the same size.
        categories: categories of both.

    Raises:
        GroundTruthError: the size differs, or the model lacks a category.
    """
    if truth.ids.shape != result.label_map.shape:
        sizes = [f"{width} x {height}" for height, width in (truth.ids.shape, result.label_map.shape)]
        raise GroundTruthError(f"the ground truth is {sizes[0]} pixels, the result {sizes[1]}")
    unknown = {one.category_id for one in truth.segments} - set(categories.by_id)
    if unknown:
        raise GroundTruthError(f"the ground truth has category {min(unknown)}, which the model does not have")
    overlap = _overlap(result, truth)
    pairs = _pairs(result, truth, overlap.pixels)
    rows = [
        *_matched_rows(result, truth, categories, overlap, pairs),
        *_missed_rows(truth, categories, overlap, pairs),
        *_unmatched_rows(result, truth, overlap, set(pairs.values())),
    ]
    confusion = _confusion(result, truth, overlap.pixels)
    overlaps = overlap_rows(result, truth, overlap.pixels)
    return FrameScore(rows, confusion, _panoptic_quality(rows), _mean_iou(confusion), overlaps)


def _overlap(result: PanopticResult, truth: TrueSegments) -> _Overlap:
    dense = _dense(truth)
    rows, columns = len(truth.segments) + 1, len(result.segments) + 1
    joint = dense.astype(np.int64) * columns + result.label_map
    pixels = np.bincount(joint.ravel(), minlength=rows * columns).reshape(rows, columns)
    return _Overlap(pixels, _distances(dense, rows), _distances(result.label_map, columns))


def _dense(truth: TrueSegments) -> np.ndarray:
    """Return the indices of the true segments from 1 as (H, W); ids without a segment are void."""
    ids, lengths = encode_runs(truth.ids)
    order = np.argsort([one.id for one in truth.segments], kind="stable")
    known = np.array([truth.segments[i].id for i in order], np.int64)
    if not len(known):
        return np.zeros(truth.ids.shape, np.int32)
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    numbers = np.where(known[places] == ids, order[places] + 1, 0).astype(np.int32)
    return np.repeat(numbers, lengths).reshape(truth.ids.shape)


def _distances(labels: np.ndarray, count: int) -> np.ndarray:
    height, width = labels.shape
    flat = labels.ravel()
    areas = np.maximum(np.bincount(flat, minlength=count), 1)
    ys = np.bincount(flat, np.repeat(np.arange(height) + 0.5, width), minlength=count) / areas
    xs = np.bincount(flat, np.tile(np.arange(width) + 0.5, height), minlength=count) / areas
    return np.hypot(ys - height / 2, xs - width / 2) / math.hypot(height / 2, width / 2)


def _pairs(result: PanopticResult, truth: TrueSegments, pixels: np.ndarray) -> dict[int, int]:
    """Return the ids of predicted segments by the indices of the true segments that they match."""
    pairs = {}
    for number, segment in enumerate(truth.segments, start=1):
        if segment.is_crowd:
            continue
        for candidate in (np.flatnonzero(pixels[number, 1:]) + 1).tolist():
            same = result.segments[candidate - 1].category.id == segment.category_id
            if same and _iou(pixels, number, candidate) > MATCHING_IOU:
                pairs[number] = candidate
    return pairs


def _iou(pixels: np.ndarray, number: int, candidate: int) -> float:
    """Compute the IoU; void pixels of the predicted segment are excluded."""
    common = pixels[number, candidate]
    union = pixels[number].sum() + pixels[:, candidate].sum() - common - pixels[0, candidate]
    return float(common / union)


def _matched_rows(
    result: PanopticResult, truth: TrueSegments, categories: CategorySet, overlap: _Overlap, pairs: dict[int, int]
) -> list[dict[str, Any]]:
    rows = []
    for number, candidate in pairs.items():
        category = categories.by_id[truth.segments[number - 1].category_id]
        iou, area = _iou(overlap.pixels, number, candidate), overlap.pixels[number].sum()
        predicted, distance = result.segments[candidate - 1], overlap.true_distances[number]
        row = _row(TP, category.id, category.is_thing, iou, predicted.score, area, distance)
        rows.append(row | {"id": candidate, "track_id": predicted.track_id})
    return rows


def _missed_rows(
    truth: TrueSegments, categories: CategorySet, overlap: _Overlap, pairs: dict[int, int]
) -> list[dict[str, Any]]:
    rows = []
    for number, segment in enumerate(truth.segments, start=1):
        if segment.is_crowd or number in pairs:
            continue
        category = categories.by_id[segment.category_id]
        area, distance = overlap.pixels[number].sum(), overlap.true_distances[number]
        row = _row(FN, category.id, category.is_thing, 0.0, math.nan, area, distance)
        rows.append(row | {"id": 0, "track_id": 0})
    return rows


def _unmatched_rows(
    result: PanopticResult, truth: TrueSegments, overlap: _Overlap, matched: set[int]
) -> list[dict[str, Any]]:
    # As in panopticapi, the last of several crowds of a class is used; COCO has at most one per image.
    crowds = {one.category_id: number for number, one in enumerate(truth.segments, start=1) if one.is_crowd}
    rows = []
    for segment in result.segments:
        area = int(overlap.pixels[:, segment.id].sum())
        if segment.id in matched or area == 0:
            continue
        ignored_pixels = overlap.pixels[0, segment.id]
        if segment.category.id in crowds:
            ignored_pixels += overlap.pixels[crowds[segment.category.id], segment.id]
        outcome = IGNORED if ignored_pixels / area > MAX_IGNORED_SHARE else FP
        category, distance = segment.category, overlap.predicted_distances[segment.id]
        row = _row(outcome, category.id, category.is_thing, 0.0, segment.score, area, distance)
        rows.append(row | {"id": segment.id, "track_id": segment.track_id})
    return rows


def _row(
    outcome: str, category_id: int, is_thing: bool, iou: float, score: float, area: int, distance: float
) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "category_id": category_id,
        "is_thing": is_thing,
        "iou": iou,
        "score": score,
        "area": int(area),
        "distance": float(distance),
    }


def _confusion(result: PanopticResult, truth: TrueSegments, pixels: np.ndarray) -> list[dict[str, Any]]:
    counts: dict[tuple[int, int], int] = {}
    predicted_ids = [0, *(segment.category.id for segment in result.segments)]
    for number, segment in enumerate(truth.segments, start=1):
        for column in np.flatnonzero(pixels[number]):
            key = segment.category_id, predicted_ids[column]
            counts[key] = counts.get(key, 0) + int(pixels[number, column])
    return [
        {"true_id": true_id, "predicted_id": predicted_id, "pixels": count}
        for (true_id, predicted_id), count in counts.items()
    ]


def _panoptic_quality(rows: list[dict[str, Any]]) -> float:
    sums: dict[int, list[float]] = {}
    for row in rows:
        if row["outcome"] != IGNORED:
            of_class = sums.setdefault(row["category_id"], [0.0, 0.0])
            of_class[0] += row["iou"]
            of_class[1] += 1.0 if row["outcome"] == TP else 0.5
    return sum(iou / weight for iou, weight in sums.values()) / len(sums) if sums else math.nan


def _mean_iou(confusion: list[dict[str, Any]]) -> float:
    common: dict[int, int] = {}
    union: dict[int, int] = {}
    for row in confusion:
        true_id, predicted_id, pixels = row["true_id"], row["predicted_id"], row["pixels"]
        for category_id in {true_id, predicted_id} - {0}:
            union[category_id] = union.get(category_id, 0) + pixels
        if true_id == predicted_id:
            common[true_id] = pixels
    return sum(common.get(one, 0) / pixels for one, pixels in union.items()) / len(union) if union else math.nan
