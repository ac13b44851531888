# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a command says at the end of a run: the report, what was wrong, and whether what is required holds."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

from ciae_ros.inference import CategorySet
from ciae_ros.replay.bags.bag import Bag
from ciae_ros.replay.evaluate import ground_truth_of
from ciae_ros.replay.measures.gate import Requirement, check, figures
from ciae_ros.replay.pictures import RunPictures
from ciae_ros.replay.report import write_report
from ciae_ros.replay.types import BagError, GroundTruth, GroundTruthError, Run

FINISHED, UNREADABLE, NOT_AS_REQUIRED = 0, 1, 3
"""Exit codes; 2 is argparse's."""

SHOWN = (
    *("pq", "pq_things", "pq_stuff", "miou"),
    *("latency_p50", "latency_p99", "fps", "dropped", "changed", "unlabelled"),
)


def report_and_judge(run: Run, required: Sequence[Requirement] = ()) -> int:
    """Write a run's report, print its figures and what was wrong, and check what is required.

    Returns:
        The exit code.

    Raises:
        OSError: the report cannot be written.
    """
    found = figures(run)
    path = write_report(run, run.folder, pictures_of(run))
    print(summary(found))
    print(f"report: {path}")
    code = say(run.about.get("problems", []))
    broken = check(required, found)
    for requirement in broken:
        print(f"replay: required: {requirement}", file=sys.stderr)
    return NOT_AS_REQUIRED if broken else code


def say(problems: Sequence[str]) -> int:
    """Print what was wrong, a line each, and return the exit code."""
    for problem in problems:
        print(f"replay: {problem}", file=sys.stderr)
    return UNREADABLE if problems else FINISHED


def summary(found: dict[str, float]) -> str:
    """The figures that there are, in one line."""
    known = [f"{name} {found[name]:.4g}" for name in SHOWN if not math.isnan(found[name])]
    return ", ".join([f"{found['frames']:.0f} frames", *known])


def pictures_of(run: Run) -> RunPictures:
    """Reads the frames of a run again, with its ground truth if that is still there."""
    return RunPictures(run, _truth_again(run.about.get("ground_truth"), run.categories))


def _truth_again(spec: str | None, categories: CategorySet) -> Callable[[Bag], GroundTruth | None]:
    try:
        truth_of = ground_truth_of(spec, categories)
    except GroundTruthError:
        return lambda _: None

    def find(bag: Bag) -> GroundTruth | None:
        try:
            return truth_of(bag)
        except (BagError, GroundTruthError):
            return None

    return find
