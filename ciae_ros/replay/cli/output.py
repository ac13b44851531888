# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Output of a command at the end of a run: report, problems and requirements."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

from ciae_ros.inference import CategorySet
from ciae_ros.replay.bags.bag import Bag
from ciae_ros.replay.bags.types import BagError, GroundTruth, GroundTruthError
from ciae_ros.replay.evaluation.run_evaluation import ground_truth_of
from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.metrics.summary import Requirement, check, summarize
from ciae_ros.replay.report import write_report
from ciae_ros.replay.report.frame_images import RunFrameImages

FINISHED, UNREADABLE, REQUIREMENTS_NOT_MET = 0, 1, 3
"""Exit codes; 2 is that of argparse."""

SHOWN = (
    *("pq", "pq_things", "pq_stuff", "miou", "stq", "hota", "idf1", "switches"),
    *("latency_p50", "latency_p99", "fps", "dropped", "changed", "unlabelled"),
)


def report_and_check(run: EvaluationRun, required: Sequence[Requirement] = ()) -> int:
    """Write a run's report, print its summary and problems, and check the requirements.

    Returns:
        The exit code.

    Raises:
        OSError: the report cannot be written.
    """
    found = summarize(run)
    path = write_report(run, run.folder, frame_images_of(run))
    print(format_summary(found))
    print(f"report: {path}")
    print_notes(run.metadata.get("notes", []))
    code = print_problems(run.metadata.get("problems", []))
    broken = check(required, found)
    for requirement in broken:
        print(f"replay: requirement not met: {requirement}", file=sys.stderr)
    return REQUIREMENTS_NOT_MET if broken else code


def print_notes(notes: Sequence[str]) -> None:
    """Print what a user should know although nothing is wrong, one line each."""
    for note in notes:
        print(f"replay: note: {note}", file=sys.stderr)


def print_problems(problems: Sequence[str]) -> int:
    """Print the problems, one per line, and return the exit code."""
    for problem in problems:
        print(f"replay: {problem}", file=sys.stderr)
    return UNREADABLE if problems else FINISHED


def format_summary(found: dict[str, float]) -> str:
    """Format the available metrics in one line."""
    known = [f"{name} {found[name]:.4g}" for name in SHOWN if not math.isnan(found[name])]
    return ", ".join([f"{found['frames']:.0f} frames", *known])


def frame_images_of(run: EvaluationRun) -> RunFrameImages:
    """Return a source of a run's frames, with ground truth if it still exists."""
    return RunFrameImages(run, _reopened_ground_truth(run.metadata.get("ground_truth"), run.categories))


def _reopened_ground_truth(spec: str | None, categories: CategorySet) -> Callable[[Bag], GroundTruth | None]:
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
