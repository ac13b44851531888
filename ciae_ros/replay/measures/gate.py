# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A run in a few figures, and what may be required of them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ciae_ros.replay.measures.quality import mean_iou, quality, summary_quality
from ciae_ros.replay.types import Run

OPERATORS = {">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt}

FIGURES = (
    *("pq", "sq", "rq", "pq_things", "pq_stuff", "miou"),
    *("latency_p50", "latency_p90", "latency_p99", "fps", "changed", "unlabelled", "dropped", "frames"),
)
"""What `figures` says of a run."""

_REQUIREMENT = re.compile(r"([a-z_0-9]+)\s*(>=|<=|==|>|<)\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)")


def figures(run: Run) -> dict[str, float]:
    """PQ, SQ, RQ and mIoU in per cent, latencies in seconds, frames per second, shares, the number of frames.

    NaN where there is nothing to say: no ground truth, no result.
    """
    frames, classes = run.frames, quality(run.segments, run.categories)
    scores = {which: summary_quality(classes, which) for which in ("all", "things", "stuff")}
    latency = frames["latency"]
    seconds = run.about.get("seconds") or math.nan
    return {
        "pq": 100 * scores["all"].pq,
        "sq": 100 * scores["all"].sq,
        "rq": 100 * scores["all"].rq,
        "pq_things": 100 * scores["things"].pq,
        "pq_stuff": 100 * scores["stuff"].pq,
        "miou": 100 * mean_iou(run.confusion, run.categories),
        "latency_p50": float(latency.quantile(0.5)),
        "latency_p90": float(latency.quantile(0.9)),
        "latency_p99": float(latency.quantile(0.99)),
        "fps": float((frames["problem"] == "").sum()) / seconds,
        "changed": float(frames["changed"].mean()),
        "unlabelled": float(frames["unlabelled"].mean()),
        "dropped": float((frames["problem"] != "").mean()),
        "frames": float(len(frames)),
    }


class Requirement(NamedTuple):
    """What a figure has to be."""

    name: str
    """One of `FIGURES`."""
    sign: str
    """One of `OPERATORS`."""
    number: str
    """As it was typed."""


def parse_requirements(text: str) -> list[Requirement]:
    """Requirements as in "pq>=40 latency_p99<=0.05", separated by spaces or commas.

    Raises:
        ValueError: one is not understood, or there is no such figure.
    """
    rest = _REQUIREMENT.sub("", text).replace(",", "").strip()
    found = [Requirement(*parts) for parts in _REQUIREMENT.findall(text)]
    if rest or not found:
        raise ValueError(f"{(rest or text)!r} is no requirement such as pq>=40")
    for one in found:
        if one.name not in FIGURES:
            raise ValueError(f"there is no figure {one.name!r}: use {', '.join(FIGURES)}")
        try:
            float(one.number)
        except ValueError:
            raise ValueError(f"{one.number!r} is no number") from None
    return found


def check(requirements: Sequence[Requirement], found: Mapping[str, float]) -> list[str]:
    """What does not hold.

    Args:
        requirements: as `parse_requirements` returns them.
        found: `figures`.

    Returns:
        A line for each requirement that does not hold; a figure that is NaN holds nothing.
    """
    broken = []
    for name, sign, number in requirements:
        value = found[name]
        if math.isnan(value):
            broken.append(f"{name}{sign}{number}, and this run has no {name}")
        elif not OPERATORS[sign](value, float(number)):
            broken.append(f"{name}{sign}{number}, and it is {value:.6g}")
    return broken
