# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Scores as a table for people, in percent."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ciae_ros.inference import CategorySet
from training.evaluation.scores import Scores


def format_scores(scores: Scores, categories: CategorySet, per_class: bool = True) -> str:
    """PQ of all, things and stuff, mIoU, AP and, if wanted, a line for every class; "-" where nothing was scored."""
    return "\n".join((*_summary(scores), *(_classes(scores, categories) if per_class else ())))


def _summary(scores: Scores) -> Iterator[str]:
    yield f"{'':10} {'PQ':>6} {'SQ':>6} {'RQ':>6} {'N':>4}"
    for name in ("all", "things", "stuff"):
        group = getattr(scores, name)
        yield f"{name:10} {_percent(group.pq)} {_percent(group.sq)} {_percent(group.rq)} {group.num_classes:4}"
    yield ""
    yield f"{'mIoU':10} {_percent(scores.mean_iou)}"
    box_ap = scores.box_ap
    yield f"{'box AP':10} {_percent(box_ap.ap)}   AP50 {_percent(box_ap.ap50)}   AP75 {_percent(box_ap.ap75)}"
    yield f"{'':10} of the boxes around the segments' pixels"


def _classes(scores: Scores, categories: CategorySet) -> Iterator[str]:
    width = max((len(category.name) for category in categories.categories), default=0)
    yield ""
    yield f"{'class':{width}} {'':5} {'PQ':>6} {'SQ':>6} {'RQ':>6} {'IoU':>6}"
    for category in categories.categories:
        if category.id in scores.per_class:
            row = scores.per_class[category.id]
            kind = "thing" if category.is_thing else "stuff"
            values = " ".join(map(_percent, (row.pq, row.sq, row.rq, row.iou)))
            yield f"{category.name:{width}} {kind} {values}"


def _percent(score: float) -> str:
    return f"{'-':>6}" if math.isnan(score) else f"{100 * score:6.1f}"
