# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The comparison page of two runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from ciae_ros.replay.metrics.paired_comparison import PairedComparison, compare
from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.report import header
from ciae_ros.replay.report.anchors import LISTED, Anchors
from ciae_ros.replay.report.files import write_csv, write_json
from ciae_ros.replay.report.formatting import count, number, percent, signed
from ciae_ros.replay.report.frame_cards import compared_images, frame_card, key_of
from ciae_ros.replay.report.frame_images import FrameImageSource
from ciae_ros.replay.report.page import Fact, FrameCard, Omission, Page, Section, Tile
from ciae_ros.replay.report.rendering import write_page
from ciae_ros.replay.report.sections.delta_section import (
    METRICS,
    class_deltas_section,
    interval,
    metrics_section,
    verdict,
)
from ciae_ros.replay.report.sections.paired_section import (
    compared_frames_section,
    compared_table_section,
    paired_section,
)

SHOWN = 6
"""Number of frames with images, of those won and of those lost."""
FORMAT = 1
"""Format version of comparison.json."""


def write_comparison(
    a: EvaluationRun, b: EvaluationRun, folder: Path, images_a: FrameImageSource, images_b: FrameImageSource
) -> Path:
    """Write comparison.html, which is self-contained, and next to it comparison.json and comparison.csv.

    Args:
        a: the reference run.
        b: the run to compare, of the same bags.
        folder: created if it does not exist.
        images_a: images of the frames of `a`.
        images_b: images of the frames of `b`.

    Returns:
        The page's path.

    Raises:
        ComparisonError: their categories differ, or they have no frame in common.
        OSError: the folder cannot be written.
    """
    found = compare(a, b)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "comparison.json", comparison_values(a, b, found))
    write_csv(folder / "comparison.csv", found.frames)
    path = folder / "comparison.html"
    write_page(path, comparison_page(a, b, found, (images_a, images_b)))
    return path


def comparison_values(a: EvaluationRun, b: EvaluationRun, found: PairedComparison) -> dict[str, Any]:
    """Return all values of the page for programs; fractions and seconds."""
    return {
        "format": FORMAT,
        "a": a.metadata,
        "b": b.metadata,
        "frames": len(found.frames),
        "deltas": found.deltas,
        "classes": found.classes,
        "wins": found.wins,
        "losses": found.losses,
        "ties": found.ties,
    }


def comparison_page(
    a: EvaluationRun, b: EvaluationRun, found: PairedComparison, sources: tuple[FrameImageSource, FrameImageSource]
) -> Page:
    """Build the page."""
    deltas = found.frames["delta"]
    won, lost = list(deltas[deltas > 0].nlargest(SHOWN).index), list(deltas[deltas < 0].nsmallest(SHOWN).index)
    shown = _cards(a, found.frames, [*won, *lost], sources)
    anchors = Anchors(frozenset(shown), min(len(found.frames), LISTED))
    counts = {"wins": found.wins, "losses": found.losses, "ties": found.ties}
    sections_and_omissions = [
        metrics_section(found.deltas),
        class_deltas_section(found.classes, a.categories),
        paired_section(found.frames, counts, anchors),
        compared_frames_section(won, lost, shown),
        compared_table_section(found.frames, anchors),
    ]
    return Page(
        title=f"{header.title(b.metadata)} (B) against {header.title(a.metadata)} (A)",
        eyebrow="Replay comparison",
        subtitle=f"{count(len(found.frames), 'scored frame')} in both runs; differences: B − A, pp: percentage points",
        tiles=_tiles(found),
        facts=_facts(a, b),
        problems=(*_differences(a, b), *_problems("A", a), *_problems("B", b)),
        sections=tuple(one for one in sections_and_omissions if isinstance(one, Section)),
        omissions=tuple(one for one in sections_and_omissions if isinstance(one, Omission)),
        details=tuple(
            Fact(f"{name}: {one.name}", one.value) for name, run in (("A", a), ("B", b)) for one in header.details(run)
        ),
    )


def _tiles(found: PairedComparison) -> tuple[Tile, ...]:
    tiles = []
    for metric in METRICS:
        values = found.deltas.get(metric.key)
        if values is None or math.isnan(values["delta"]):
            continue
        delta, low, high = (metric.factor * values[key] for key in ("delta", "low", "high"))
        unit = "pp" if metric.unit == "%" else metric.unit
        note = interval(low, high, metric.digits)
        kind = verdict(low, high, metric)
        tiles.append(Tile(metric.title, signed(delta, metric.digits), unit, note, kind))
    if len(found.frames):
        won = f"{number(found.wins)} won, {number(found.losses)} lost"
        tiles.append(Tile("Frames won", percent(found.wins / len(found.frames), 0), "%", won))
    return tuple(tiles)


def _facts(a: EvaluationRun, b: EvaluationRun) -> tuple[Fact, ...]:
    found = [
        Fact(f"{label} {name}", value)
        for name, run in (("A", a), ("B", b))
        for label, value in (
            ("Model", header.model_name(run.metadata)),
            ("Device", str(run.metadata.get("device"))),
            ("Frames", number(len(run.frames))),
            ("Run", str(run.folder)),
        )
    ]
    return tuple(found)


def _differences(a: EvaluationRun, b: EvaluationRun) -> list[str]:
    """Return reasons why the runs may not be comparable."""
    found = []
    if header.ground_truth(a.metadata) != header.ground_truth(b.metadata):
        found.append("the two runs were scored with different ground truth")
    if a.metadata.get("device") != b.metadata.get("device"):
        found.append("the two runs were made on different devices: their latencies tell little about the models")
    if a.metadata.get("kind") != b.metadata.get("kind"):
        found.append("one run was made in lock-step, the other through the node")
    return found


def _problems(name: str, run: EvaluationRun) -> list[str]:
    return [f"{name}: {problem}" for problem in header.problems(run)]


def _cards(
    a: EvaluationRun, frames: pd.DataFrame, rows: list[int], sources: tuple[FrameImageSource, FrameImageSource]
) -> dict[int, FrameCard]:
    """Return frame cards by row of the compared frames."""
    several = frames["topic"].nunique() > 1
    cards = {}
    sizes = a.frames.set_index(["bag", "topic", "index"])[["width", "height"]]
    for row in rows:
        frame = frames.loc[row].to_dict()
        pair = [source.images(key_of(frame)) for source in sources]
        if pair[0] is None or pair[1] is None:
            continue
        size = sizes.loc[(frame["bag"], frame["topic"], frame["index"])].to_dict()
        cards[row] = frame_card(
            f"frame-{row}", frame | size, compared_images(pair[0], pair[1]), several_topics=several, facts=_pqs(frame)
        )
    return cards


def _pqs(frame: dict[Any, Any]) -> str:
    return f"PQ: A {percent(frame['pq_a'])}, B {percent(frame['pq_b'])}, B − A {signed(100 * frame['delta'])}"
