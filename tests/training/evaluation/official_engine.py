# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Scores computed by the official code, panopticapi and pycocotools: slow, for comparison with the other engine."""

from __future__ import annotations

import io
import math
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
from panopticapi.evaluation import PQStat, pq_compute_single_core
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from training.evaluation.scores import BoxAP, ClassScores, Quality, SegmentScores


def score_segments(truth: PanopticAnnotations, results: PanopticAnnotations) -> SegmentScores:
    """Compute PQ by panopticapi, and IoU, which it lacks, by a confusion matrix.

    Raises:
        ValueError: a PNG is inconsistent with its JSON.
    """
    pairs = [
        # panopticapi writes areas into the results' entries.
        (entry, {**found, "segments_info": [dict(info) for info in found["segments_info"]]})
        for image_id, entry in truth.annotations.items()
        for found in (results.annotations[image_id],)
    ]
    categories = {entry["id"]: entry for entry in truth.categories.to_coco()}
    # `pq_compute` would print and fork, which is not safe after CUDA or OpenMP have started.
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            counts = pq_compute_single_core(0, pairs, str(truth.png_folder), str(results.png_folder), categories)
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    iou = _class_iou(truth, results)
    count = len(truth.annotations)
    return SegmentScores(
        all=_average(counts, categories, None, count),
        things=_average(counts, categories, True, count),
        stuff=_average(counts, categories, False, count),
        per_class=_per_class(counts, categories, iou, count),
    )


def score_boxes(truth: dict[str, Any], detections: list[dict[str, Any]]) -> BoxAP:
    """AP of at least one detection.

    Args:
        truth: as in a COCO detection file.
        detections: image_id, category_id, bbox and score of each.
    """
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        # loadRes modifies its argument.
        evaluation = COCOeval(coco, coco.loadRes([dict(detection) for detection in detections]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return BoxAP(*(math.nan if score < 0 else float(score) for score in evaluation.stats[:3]))


def _average(counts: PQStat, categories: dict[int, dict[str, Any]], things: bool | None, count: int) -> Quality:
    own = (key for key, entry in categories.items() if things is None or bool(entry["isthing"]) == things)
    false_positives = sum(counts[key].fp for key in own) / count
    try:
        average, _ = counts.pq_average(categories, isthing=things)
    except ZeroDivisionError:  # No class of the group occurs.
        return Quality(math.nan, math.nan, math.nan, 0, false_positives)
    return Quality(float(average["pq"]), float(average["sq"]), float(average["rq"]), average["n"], false_positives)


def _per_class(
    counts: PQStat, categories: dict[int, dict[str, Any]], class_iou: dict[int, float], count: int
) -> dict[int, ClassScores]:
    per_class = {}
    for category_id, entry in categories.items():
        quality = _average(counts, {category_id: entry}, None, count)
        iou = class_iou.get(category_id, math.nan)
        if quality.num_classes or not math.isnan(iou):
            per_class[category_id] = ClassScores(quality.pq, quality.sq, quality.rq, iou, quality.false_positives)
    return per_class


def _class_iou(truth: PanopticAnnotations, results: PanopticAnnotations) -> dict[int, float]:
    """Return the IoU by category id, of the classes in the ground truth or, where that is not void, in the results."""
    ids = [category.id for category in truth.categories.categories]
    # The last index is void or unlabelled.
    confusion = np.zeros((len(ids) + 1, len(ids) + 1), np.int64)
    for image_id in truth.annotations:
        true, found = _class_map(truth, image_id, ids), _class_map(results, image_id, ids)
        index = true.astype(np.int64) * len(confusion) + found
        confusion += np.bincount(index.ravel(), minlength=confusion.size).reshape(confusion.shape)
    # Void pixels are ignored, unlabelled ones are errors of their true class.
    intersection = confusion.diagonal()[:-1]
    union = confusion[:-1].sum(axis=1) + confusion[:-1, :-1].sum(axis=0) - intersection
    return {ids[c]: float(intersection[c] / union[c]) for c in np.flatnonzero(union).tolist()}


def _class_map(annotations: PanopticAnnotations, image_id: int, category_ids: list[int]) -> np.ndarray:
    """Return the index (H, W) of each pixel's class in `category_ids`, or its length without a segment."""
    segment_ids, inverse = np.unique(annotations.segment_ids(image_id), return_inverse=True)
    class_of_segment = {
        info["id"]: category_ids.index(info["category_id"])
        for info in annotations.annotations[image_id]["segments_info"]
    }
    classes = np.array([class_of_segment.get(i, len(category_ids)) for i in segment_ids.tolist()])
    return classes[inverse]
