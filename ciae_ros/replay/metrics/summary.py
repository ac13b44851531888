# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Summary metrics of a run, and requirements on them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ciae_ros.replay.metrics.quality import mean_iou, quality, summary_quality
from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.metrics.tracking import TrackingScores, tracking_scores

OPERATORS = {">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt}

_SEGMENT_METRICS = ("pq", "sq", "rq", "pq_things", "pq_stuff", "miou")
_TRACK_METRICS = ("stq", "aq", "vpq", "hota", "assa", "mota", "idf1", "switches")
SUMMARY_METRICS = (
    *_SEGMENT_METRICS,
    *_TRACK_METRICS,
    *("latency_p50", "latency_p90", "latency_p99", "fps", "changed", "unlabelled", "dropped", "frames"),
)
"""Names of the metrics of `summarize`."""

_REQUIREMENT = re.compile(r"([a-z_0-9]+)\s*(>=|<=|==|>|<)\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)")


def summarize(run: EvaluationRun) -> dict[str, float]:
    """Summarise a run: qualities in percent, latencies in seconds, frames per second, shares, frame count.

    Metrics are NaN where they are undefined, such as without ground truth or results.
    """
    frames, classes = run.frames, quality(run.segments, run.categories)
    scores = {which: summary_quality(classes, which) for which in ("all", "things", "stuff")}
    latency = frames["latency"]
    seconds = run.metadata.get("seconds") or math.nan
    return {
        "pq": 100 * scores["all"].pq,
        "sq": 100 * scores["all"].sq,
        "rq": 100 * scores["all"].rq,
        "pq_things": 100 * scores["things"].pq,
        "pq_stuff": 100 * scores["stuff"].pq,
        "miou": 100 * mean_iou(run.confusion, run.categories),
        **_tracking_summary(tracking_scores(run)),
        "latency_p50": float(latency.quantile(0.5)),
        "latency_p90": float(latency.quantile(0.9)),
        "latency_p99": float(latency.quantile(0.99)),
        "fps": float((frames["problem"] == "").sum()) / seconds,
        "changed": float(frames["changed"].mean()),
        "unlabelled": float(frames["unlabelled"].mean()),
        "dropped": float((frames["problem"] != "").mean()),
        "frames": float(len(frames)),
    }


def _tracking_summary(scores: TrackingScores | None) -> dict[str, float]:
    if scores is None:
        return dict.fromkeys(("stq", "aq", "vpq", "hota", "assa", "mota", "idf1", "switches"), math.nan)
    return {
        "stq": 100 * scores.quality.stq,
        "aq": 100 * scores.quality.association,
        "vpq": 100 * scores.vpq,
        "hota": 100 * scores.things.hota,
        "assa": 100 * scores.things.association,
        "mota": 100 * scores.things.mota,
        "idf1": 100 * scores.things.idf1,
        "switches": float(scores.things.switches),
    }


class Requirement(NamedTuple):
    """A requirement on a metric."""

    name: str
    """One of `SUMMARY_METRICS`."""
    sign: str
    """One of `OPERATORS`."""
    number: str
    """Threshold as typed."""


def parse_requirements(text: str) -> list[Requirement]:
    """Parse requirements such as "pq>=40 latency_p99<=0.05", separated by spaces or commas.

    Raises:
        ValueError: one is invalid, or names an unknown metric.
    """
    rest = _REQUIREMENT.sub("", text).replace(",", "").strip()
    found = [Requirement(*parts) for parts in _REQUIREMENT.findall(text)]
    if rest or not found:
        raise ValueError(f"{(rest or text)!r} is not a requirement such as pq>=40")
    for one in found:
        if one.name not in SUMMARY_METRICS:
            raise ValueError(f"unknown metric {one.name!r}: use {', '.join(SUMMARY_METRICS)}")
        try:
            float(one.number)
        except ValueError:
            raise ValueError(f"{one.number!r} is not a number") from None
    return found


def check(requirements: Sequence[Requirement], found: Mapping[str, float]) -> list[str]:
    """Return the requirements that are not met.

    Args:
        requirements: as `parse_requirements` returns them.
        found: `summarize`.

    Returns:
        A line for each requirement that is not met; NaN meets none.
    """
    broken = []
    for name, sign, number in requirements:
        value = found[name]
        if math.isnan(value):
            broken.append(f"{name}{sign}{number}, but this run has no {name}{_what_it_needs(name)}")
        elif not OPERATORS[sign](value, float(number)):
            broken.append(f"{name}{sign}{number}, but it is {value:.6g}")
    return broken


def _what_it_needs(metric: str) -> str:
    if metric in _TRACK_METRICS:
        return ": give --ground-truth with track_id"
    return ": give --ground-truth" if metric in _SEGMENT_METRICS else ""
