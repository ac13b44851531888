# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The report page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.metrics.tracking import TrackingScores
from ciae_ros.replay.report import header
from ciae_ros.replay.report.analysis import Analysis
from ciae_ros.replay.report.anchors import LISTED, Anchors
from ciae_ros.replay.report.files import write_csv, write_json
from ciae_ros.replay.report.frame_cards import cards, key_of
from ciae_ros.replay.report.frame_images import FrameImageSource
from ciae_ros.replay.report.page import FrameCard, Omission, Page, Section
from ciae_ros.replay.report.rendering import write_page
from ciae_ros.replay.report.sections.breakdown_section import breakdowns_section
from ciae_ros.replay.report.sections.confusion_section import confusion_section, largest_confusions
from ciae_ros.replay.report.sections.drop_section import drops_section
from ciae_ros.replay.report.sections.frame_section import frames_section
from ciae_ros.replay.report.sections.frame_table_section import frame_table_section
from ciae_ros.replay.report.sections.latency_section import latency_section
from ciae_ros.replay.report.sections.quality_section import NO_TRUTH, UNMATCHED, classes_section, sequence_section
from ciae_ros.replay.report.sections.segment_section import segments_section
from ciae_ros.replay.report.sections.stability_section import stability_section
from ciae_ros.replay.report.sections.tracking_section import tracking_section

FORMAT = 3
"""Format version of report.json."""


def write_report(run: EvaluationRun, folder: Path, images: FrameImageSource) -> Path:
    """Write report.html, which is self-contained, and next to it report.json, classes.csv and frames.csv.

    Args:
        run: the run.
        folder: created if it does not exist.
        images: images of the run's frames.

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
    write_page(path, report_page(analysis, images))
    return path


def report_values(analysis: Analysis) -> dict[str, Any]:
    """Return all values of the page for programs; fractions and seconds, except for `summary` (`summarize`)."""
    frames = analysis.run.frames
    return {
        "format": FORMAT,
        "run": analysis.run.metadata,
        "summary": analysis.summary,
        "classes": analysis.classes,
        "by_size": analysis.sizes,
        "by_distance": analysis.distances,
        "over_time": analysis.drive,
        "confusions": [vars(one) for one in largest_confusions(analysis.confusion)],
        "latency": {str(stage): times.to_dict() for stage, times in analysis.latencies.iterrows()},
        "gaps": analysis.gaps,
        "tracking": None if analysis.tracking is None else _tracking_values(analysis.tracking),
        "worst_frames": [vars(key_of(frames.loc[row].to_dict())) for row in analysis.worst],
        "typical_frames": [vars(key_of(frames.loc[row].to_dict())) for row in analysis.typical],
    }


def _tracking_values(scores: TrackingScores) -> dict[str, Any]:
    return {
        **scores.quality._asdict(),
        "vpq": scores.vpq,
        "vpq_of_length": scores.vpq_of_length,
        "things": vars(scores.things),
        "of_category": {category: vars(found) for category, found in scores.of_category.items()},
        "switches": scores.switches,
    }


def report_page(analysis: Analysis, images: FrameImageSource) -> Page:
    """Build the page."""
    run = analysis.run
    several = run.frames["topic"].nunique() > 1
    shown = cards(run.frames, [*analysis.worst, *analysis.typical, *analysis.switched], images, several_topics=several)
    anchors = Anchors(frozenset(shown), min(len(run.frames), LISTED))
    sections_and_omissions = [*_scored(analysis, anchors), *_unscored(analysis, anchors, shown)]
    return Page(
        title=header.title(run.metadata),
        eyebrow="Replay evaluation",
        subtitle=header.subtitle(run),
        tiles=header.tiles(analysis.summary, run.frames) if len(run.frames) else (),
        facts=header.facts(run),
        problems=header.problems(run),
        sections=tuple(one for one in sections_and_omissions if isinstance(one, Section)),
        omissions=tuple(one for one in sections_and_omissions if isinstance(one, Omission)),
        details=header.details(run),
    )


def _scored(analysis: Analysis, anchors: Anchors) -> list[Section | Omission]:
    """Build the sections that need ground truth."""
    run = analysis.run
    if not analysis.has_truth:
        reason = UNMATCHED if header.ground_truth(run.metadata) else NO_TRUTH
        return [Omission("Quality: over the drive, by class, by size and place, confusions", reason)]
    return [
        sequence_section(run.frames, analysis.drive, anchors),
        classes_section(analysis.classes, run.categories),
        breakdowns_section(analysis.sizes, analysis.distances),
        confusion_section(analysis.confusion, run.confusion.groupby("true_id")["pixels"].sum(), run.categories),
    ]


def _unscored(analysis: Analysis, anchors: Anchors, shown: dict[int, FrameCard]) -> list[Section | Omission]:
    """Build the sections of every run."""
    run = analysis.run
    return [
        latency_section(run.frames, analysis.latencies, anchors),
        drops_section(run.metadata, run.frames, analysis.gaps, analysis.summary),
        tracking_section(analysis.tracking, run.frames, run.categories, anchors),
        stability_section(run.frames, anchors),
        segments_section(run.frames, run.segments, anchors),
        frames_section(analysis.worst, analysis.typical, analysis.switched, shown, has_truth=analysis.has_truth),
        frame_table_section(run.frames, anchors),
    ]
