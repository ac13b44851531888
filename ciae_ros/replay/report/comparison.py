# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Two runs side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from ciae_ros.replay.measures.comparison import Comparison, compare
from ciae_ros.replay.report import header
from ciae_ros.replay.report.anchors import LISTED, Anchors
from ciae_ros.replay.report.files import write_csv, write_json
from ciae_ros.replay.report.formatting import count, number, percent, signed
from ciae_ros.replay.report.frame_cards import compared_pictures, frame_card, key_of
from ciae_ros.replay.report.page import Fact, FrameCard, Omission, Page, Section, Tile
from ciae_ros.replay.report.rendering import write_page
from ciae_ros.replay.report.sections.deltas import MEASURES, class_deltas_section, interval, measures_section, verdict
from ciae_ros.replay.report.sections.duel import compared_frames_section, compared_table_section, duel_section
from ciae_ros.replay.types import PictureSource, Run

SHOWN = 6
"""Frames with pictures of those won, and of those lost."""
FORMAT = 1
"""Of comparison.json."""


def write_comparison(a: Run, b: Run, folder: Path, pictures_a: PictureSource, pictures_b: PictureSource) -> Path:
    """Write comparison.html, which needs no other file, and beside it comparison.json and comparison.csv.

    Args:
        a: the run to compare with.
        b: the run to judge, of the same bags.
        folder: made if it is not there.
        pictures_a: of the frames of `a`.
        pictures_b: of the frames of `b`.

    Returns:
        The page's path.

    Raises:
        ComparisonError: they have other categories, or no frame in common.
        OSError: the folder cannot be written.
    """
    found = compare(a, b)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "comparison.json", comparison_values(a, b, found))
    write_csv(folder / "comparison.csv", found.frames)
    path = folder / "comparison.html"
    write_page(path, comparison_page(a, b, found, (pictures_a, pictures_b)))
    return path


def comparison_values(a: Run, b: Run, found: Comparison) -> dict[str, Any]:
    """Everything that the page shows, for programs; fractions and seconds."""
    return {
        "format": FORMAT,
        "a": a.about,
        "b": b.about,
        "frames": len(found.frames),
        "deltas": found.deltas,
        "classes": found.classes,
        "wins": found.wins,
        "losses": found.losses,
        "ties": found.ties,
    }


def comparison_page(a: Run, b: Run, found: Comparison, sources: tuple[PictureSource, PictureSource]) -> Page:
    """What the page says."""
    deltas = found.frames["delta"]
    won, lost = list(deltas[deltas > 0].nlargest(SHOWN).index), list(deltas[deltas < 0].nsmallest(SHOWN).index)
    shown = _cards(a, found.frames, [*won, *lost], sources)
    anchors = Anchors(frozenset(shown), min(len(found.frames), LISTED))
    counts = {"wins": found.wins, "losses": found.losses, "ties": found.ties}
    chapters = [
        measures_section(found.deltas),
        class_deltas_section(found.classes, a.categories),
        duel_section(found.frames, counts, anchors),
        compared_frames_section(won, lost, shown),
        compared_table_section(found.frames, anchors),
    ]
    return Page(
        title=f"{header.title(b.about)} (B) against {header.title(a.about)} (A)",
        eyebrow="Replay comparison",
        subtitle=f"{count(len(found.frames), 'scored frame')} in both runs; differences: B − A, pp: percentage points",
        tiles=_tiles(found),
        facts=_facts(a, b),
        problems=(*_differences(a, b), *_problems("A", a), *_problems("B", b)),
        sections=tuple(one for one in chapters if isinstance(one, Section)),
        omissions=tuple(one for one in chapters if isinstance(one, Omission)),
        details=tuple(
            Fact(f"{name}: {one.name}", one.value) for name, run in (("A", a), ("B", b)) for one in header.details(run)
        ),
    )


def _tiles(found: Comparison) -> tuple[Tile, ...]:
    tiles = []
    for measure in MEASURES:
        values = found.deltas.get(measure.key)
        if values is None or math.isnan(values["delta"]):
            continue
        delta, low, high = (measure.factor * values[key] for key in ("delta", "low", "high"))
        unit = "pp" if measure.unit == "%" else measure.unit
        note = interval(low, high, measure.digits)
        kind = verdict(low, high, measure)
        tiles.append(Tile(measure.title, signed(delta, measure.digits), unit, note, kind))
    if len(found.frames):
        won = f"{number(found.wins)} won, {number(found.losses)} lost"
        tiles.append(Tile("Frames won", percent(found.wins / len(found.frames), 0), "%", won))
    return tuple(tiles)


def _facts(a: Run, b: Run) -> tuple[Fact, ...]:
    found = [
        Fact(f"{label} {name}", value)
        for name, run in (("A", a), ("B", b))
        for label, value in (
            ("Model", header.model_name(run.about)),
            ("Device", str(run.about.get("device"))),
            ("Frames", number(len(run.frames))),
            ("Run", str(run.folder)),
        )
    ]
    return tuple(found)


def _differences(a: Run, b: Run) -> list[str]:
    """Why the two may not be comparable."""
    found = []
    if header.ground_truth(a.about) != header.ground_truth(b.about):
        found.append("the two runs were scored with different ground truth")
    if a.about.get("device") != b.about.get("device"):
        found.append("the two runs were made on different devices: their latencies tell little about the models")
    if a.about.get("kind") != b.about.get("kind"):
        found.append("one run was made in lock-step, the other through the node")
    return found


def _problems(name: str, run: Run) -> list[str]:
    return [f"{name}: {problem}" for problem in header.problems(run)]


def _cards(
    a: Run, frames: pd.DataFrame, rows: list[int], sources: tuple[PictureSource, PictureSource]
) -> dict[int, FrameCard]:
    """By row of the comparison's frames."""
    several = frames["topic"].nunique() > 1
    cards = {}
    sizes = a.frames.set_index(["bag", "topic", "index"])[["width", "height"]]
    for row in rows:
        frame = frames.loc[row].to_dict()
        pair = [source.picture(key_of(frame)) for source in sources]
        if pair[0] is None or pair[1] is None:
            continue
        size = sizes.loc[(frame["bag"], frame["topic"], frame["index"])].to_dict()
        cards[row] = frame_card(
            f"frame-{row}", frame | size, compared_pictures(pair[0], pair[1]), several_topics=several, facts=_pqs(frame)
        )
    return cards


def _pqs(frame: dict[Any, Any]) -> str:
    return f"PQ: A {percent(frame['pq_a'])}, B {percent(frame['pq_b'])}, B − A {signed(100 * frame['delta'])}"
