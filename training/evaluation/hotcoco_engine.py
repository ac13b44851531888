# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Scores computed by hotcoco: equal to those of the official code, in a fraction of the time."""

from __future__ import annotations

import io
import math
from contextlib import redirect_stdout
from typing import Any

from hotcoco import COCO, COCOeval
from hotcoco.panoptic import PanopticEval

from ciae_ros.core.coco_panoptic import PanopticAnnotations
from training.evaluation.scores import BoxAP, ClassScores, Quality, SegmentScores


def score_segments(truth: PanopticAnnotations, results: PanopticAnnotations) -> SegmentScores:
    """Compute PQ and IoU.

    Raises:
        ValueError: a PNG is corrupt or inconsistent with its JSON.
    """
    evaluation = PanopticEval(
        _content(truth), _content(results), gt_folder=truth.png_folder, pred_folder=results.png_folder
    )
    evaluation.evaluate()
    quality = evaluation.results()
    pixels = evaluation.report()["per_class"]
    per_class = {}
    for category in truth.categories.categories:
        class_quality = quality["per_class"][category.id]
        iou = pixels.get(str(category.id), {}).get("IoU", -1.0)
        if class_quality["pq"] >= 0 or iou >= 0:
            pq, sq, rq, iou = map(_or_nan, (class_quality["pq"], class_quality["sq"], class_quality["rq"], iou))
            false_positives = class_quality["fp"] / len(truth.annotations)
            per_class[category.id] = ClassScores(pq, sq, rq, iou, false_positives)
    things = {category.id for category in truth.categories.things}
    errors = {key: scores.false_positives for key, scores in per_class.items()}
    return SegmentScores(
        all=_quality(quality["All"], sum(errors.values())),
        things=_quality(quality["Things"], sum(errors[key] for key in errors.keys() & things)),
        stuff=_quality(quality["Stuff"], sum(errors[key] for key in errors.keys() - things)),
        per_class=per_class,
    )


def score_boxes(truth: dict[str, Any], detections: list[dict[str, Any]]) -> BoxAP:
    """Compute the AP of at least one detection.

    Args:
        truth: content of a COCO detection file.
        detections: image_id, category_id, bbox and score of each detection.
    """
    coco = COCO(truth)
    evaluation = COCOeval(coco, coco.load_res(detections), "bbox")
    with redirect_stdout(io.StringIO()):
        evaluation.run()
    found = evaluation.get_results()
    return BoxAP(*(_or_nan(found[name]) for name in ("AP", "AP50", "AP75")))


def _content(annotations: PanopticAnnotations) -> dict[str, Any]:
    # hotcoco's report per class is keyed by name; names need not be unique, but ids are.
    categories = [
        {"id": category.id, "name": str(category.id), "isthing": int(category.is_thing)}
        for category in annotations.categories.categories
    ]
    return {
        "images": [annotations.images[image_id] for image_id in annotations.annotations],
        "annotations": list(annotations.annotations.values()),
        "categories": categories,
    }


def _quality(group: dict[str, Any], false_positives: float) -> Quality:
    return Quality(_or_nan(group["pq"]), _or_nan(group["sq"]), _or_nan(group["rq"]), group["n"], false_positives)


def _or_nan(score: float) -> float:
    """Convert hotcoco's -1, for nothing to score, to NaN."""
    return math.nan if score < 0 else score
