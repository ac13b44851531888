# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Tables of measured and published results, and of the estimated cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from training.config import TrainingConfig
from training.paper.cost import training_gpu_hours
from training.paper.rows import SCORE_COLUMNS, Outcome
from training.paper.tables import Evaluation, PaperRow, PaperTable

NOTHING = "-"
DIVERGED = "diverges"


def format_table(table: PaperTable, outcomes: dict[str, list[Outcome]], conditions: str) -> str:
    """Format a table as Markdown.

    Args:
        table: table of the paper.
        outcomes: outcomes of the seeds by row name; rows that were not selected are missing.
        conditions: conditions of the measurement, in a sentence.
    """
    columns = [column for column in table.columns if column in SCORE_COLUMNS]
    header = ["row"]
    for column in columns:
        header += [column, "paper", "difference"]
    lines = [
        [row.name, *(cell for column in columns for cell in _cells(table, row, column, outcomes))]
        for row in table.rows
        if row.name in outcomes
    ]
    explanation = (
        f"{conditions} In percent: the mean over the seeds, with each seed in brackets; the paper's score; and the "
        f"difference from row {table.reference}, with the paper's in brackets."
    )
    notes = dict.fromkeys(f"- {name}: {o.note}" for name, seeds in outcomes.items() for o in seeds if o.note)
    parts = [f"# {table.title}", explanation, "\n".join(aligned([header, *lines])), "\n".join(notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _cells(table: PaperTable, row: PaperRow, column: str, outcomes: dict[str, list[Outcome]]) -> tuple[str, str, str]:
    """Return the measured score, the published score, and the differences from the reference."""
    (reference,) = (other for other in table.rows if other.name == table.reference)
    values = _values(outcomes[row.name], column)
    measured = _percent(_mean(values))
    if len(values) > 1:
        measured += f" ({', '.join(map(_percent, values))})"
    if not values and any(outcome.failed for outcome in outcomes[row.name]):
        measured = "failed"
    paper, paper_reference = table.paper(row, column), table.paper(reference, column)
    published = _missing(row) if paper is None else _percent(paper)
    if row is reference:
        return measured, published, ""
    difference = _mean(values) - _mean(_values(outcomes.get(reference.name, []), column))
    paper_difference = math.nan if paper is None or paper_reference is None else paper - paper_reference
    return measured, published, f"{_signed(difference)} ({_signed(paper_difference)})"


def _missing(row: PaperRow) -> str:
    """Return what is shown instead of a published result."""
    return NOTHING if row.published is None else DIVERGED


def _values(outcomes: list[Outcome], column: str) -> list[float]:
    return [outcome.scores[column] for outcome in outcomes if column in outcome.scores]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _percent(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.1f}"


def _signed(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:+.1f}"


def aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Format rows of cells, the first being the header, as lines of an aligned Markdown table."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


class CostEstimate:
    """Estimates the cost of the rows' trainings; a training that rows share is counted once."""

    def __init__(self, tflops: float, num_seeds: int) -> None:
        self._tflops, self._num_seeds = tflops, num_seeds
        self._hours: dict[Path, float] = {}

    def table(self, table: PaperTable, rows: dict[PaperRow, tuple[Path, TrainingConfig]]) -> str:
        """Format the rows of a table with their files, evaluations, published results and costs."""
        lines = [["row", "configuration", "evaluation", *(f"paper {c}" for c in table.columns), "GPU hours"]]
        for row, (path, config) in rows.items():
            published = [str(figure) for figure in row.published or ()] or [_missing(row)] * len(table.columns)
            lines.append([row.name, str(path), _options(row.evaluation), *published, self._hours_of(path, config)])
        return "\n".join((table.title, *aligned(lines)))

    def _hours_of(self, path: Path, config: TrainingConfig) -> str:
        if path in self._hours:
            return "(shared)"
        self._hours[path] = training_gpu_hours(config, self._tflops)
        return f"{self._hours[path]:.3g}"

    def summary(self) -> str:
        """Format the total and the assumptions of the estimate."""
        total = sum(self._hours.values()) * self._num_seeds
        seeds = "" if self._num_seeds == 1 else f" with {self._num_seeds} seeds each"
        return (
            f"{len(self._hours)} trainings{seeds}, {total:.3g} GPU hours. An estimate: 3 x the network's forward FLOPs "
            f"x the schedule's images, on a GPU that sustains {self._tflops:g} TFLOP/s (--tflops); without losses, "
            "data and evaluation."
        )


def _options(evaluation: Evaluation) -> str:
    """Format an evaluation as the options of `training.evaluate`."""
    options = (
        f"--input-size {evaluation.input_size}" if evaluation.input_size else "",
        f"--instance-category {evaluation.instance_category}" if evaluation.instance_category else "",
        "--oracle" if evaluation.oracle else "",
        "test-dev" if evaluation.test_dev else "",
    )
    return " ".join(filter(None, options)) or NOTHING
