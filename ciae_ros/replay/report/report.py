# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ciae_ros.replay.report import header
from ciae_ros.replay.report.analysis import Analysis
from ciae_ros.replay.report.anchors import LISTED, Anchors
from ciae_ros.replay.report.files import write_csv, write_json
from ciae_ros.replay.report.frame_cards import cards, key_of
from ciae_ros.replay.report.page import FrameCard, Omission, Page, Section
from ciae_ros.replay.report.rendering import write_page
from ciae_ros.replay.report.sections.breakdowns import breakdowns_section
from ciae_ros.replay.report.sections.confusion import confusion_section, largest_confusions
from ciae_ros.replay.report.sections.drops import drops_section
from ciae_ros.replay.report.sections.frame_table import frame_table_section
from ciae_ros.replay.report.sections.frames import frames_section
from ciae_ros.replay.report.sections.latency import latency_section
from ciae_ros.replay.report.sections.quality import NO_TRUTH, UNMATCHED, classes_section, drive_section
from ciae_ros.replay.report.sections.segments import segments_section
from ciae_ros.replay.report.sections.stability import stability_section
from ciae_ros.replay.types import PictureSource, Run

FORMAT = 1
"""Of report.json."""


def write_report(run: Run, folder: Path, pictures: PictureSource) -> Path:
    """Write report.html, which needs no other file, and beside it report.json, classes.csv and frames.csv.

    Args:
        run: to report on.
        folder: made if it is not there.
        pictures: of the run's frames.

    Returns:
        The page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    analysis = Analysis.of(run)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "report.json", report_values(analysis))
    write_csv(folder / "classes.csv", analysis.classes)
    write_csv(folder / "frames.csv", analysis.run.frames)
    path = folder / "report.html"
    write_page(path, report_page(analysis, pictures))
    return path


def report_values(analysis: Analysis) -> dict[str, Any]:
    """Everything that the page's figures show, for programs; fractions and seconds, except for `figures`."""
    frames = analysis.run.frames
    return {
        "format": FORMAT,
        "run": analysis.run.about,
        "figures": analysis.figures,
        "classes": analysis.classes,
        "by_size": analysis.sizes,
        "by_distance": analysis.distances,
        "over_time": analysis.drive,
        "confusions": [vars(one) for one in largest_confusions(analysis.confusion)],
        "latency": {str(stage): times.to_dict() for stage, times in analysis.latencies.iterrows()},
        "gaps": analysis.gaps,
        "worst_frames": [vars(key_of(frames.loc[row].to_dict())) for row in analysis.worst],
        "typical_frames": [vars(key_of(frames.loc[row].to_dict())) for row in analysis.typical],
    }


def report_page(analysis: Analysis, pictures: PictureSource) -> Page:
    """What the page says."""
    run = analysis.run
    several = run.frames["topic"].nunique() > 1
    shown = cards(run.frames, [*analysis.worst, *analysis.typical], pictures, several_topics=several)
    anchors = Anchors(frozenset(shown), min(len(run.frames), LISTED))
    chapters = [*_scored(analysis, anchors), *_unscored(analysis, anchors, shown)]
    return Page(
        title=header.title(run.about),
        eyebrow="Replay evaluation",
        subtitle=header.subtitle(run),
        tiles=header.tiles(analysis.figures, run.frames) if len(run.frames) else (),
        facts=header.facts(run),
        problems=header.problems(run),
        sections=tuple(one for one in chapters if isinstance(one, Section)),
        omissions=tuple(one for one in chapters if isinstance(one, Omission)),
        details=header.details(run),
    )


def _scored(analysis: Analysis, anchors: Anchors) -> list[Section | Omission]:
    """What can only be said with ground truth."""
    run = analysis.run
    if not analysis.has_truth:
        reason = UNMATCHED if header.ground_truth(run.about) else NO_TRUTH
        return [Omission("Quality: over the drive, by class, by size and place, confusions", reason)]
    return [
        drive_section(run.frames, analysis.drive, anchors),
        classes_section(analysis.classes, run.categories),
        breakdowns_section(analysis.sizes, analysis.distances),
        confusion_section(analysis.confusion, run.confusion.groupby("true_id")["pixels"].sum(), run.categories),
    ]


def _unscored(analysis: Analysis, anchors: Anchors, shown: dict[int, FrameCard]) -> list[Section | Omission]:
    """What can be said of every run."""
    run = analysis.run
    return [
        latency_section(run.frames, analysis.latencies, anchors),
        drops_section(run.about, run.frames, analysis.gaps, analysis.figures),
        stability_section(run.frames, anchors),
        segments_section(run.frames, run.segments, anchors),
        frames_section(analysis.worst, analysis.typical, shown, has_truth=analysis.has_truth),
        frame_table_section(run.frames, anchors),
    ]
