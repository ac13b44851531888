# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Identities through time, and where they change."""

from __future__ import annotations

import pandas as pd

from ciae_ros.core.categories import CategorySet
from ciae_ros.replay.metrics.identities import IdentityScores
from ciae_ros.replay.metrics.tracking import TrackingScores, switched_rows
from ciae_ros.replay.report.anchors import Anchors, frame_title
from ciae_ros.replay.report.formatting import number, percent
from ciae_ros.replay.report.page import Cell, Column, Omission, Row, Section, Table
from ciae_ros.replay.report.sections.quality_section import class_cell

LISTED_SWITCHES = 500
"""Maximum number of identity switches in the table."""

_SCORE_COLUMNS = (
    Column("Things", numeric=False),
    Column("HOTA", meaning="higher order tracking accuracy, per cent: geometric mean of DetA and AssA over thresholds"),
    Column("DetA", meaning="detection accuracy, per cent"),
    Column("AssA", meaning="association accuracy, per cent"),
    Column("MOTA", meaning="1 - (missed + wrong + switches) / true objects, per cent"),
    Column("IDF1", meaning="F1 score of the objects with the right id, per cent"),
    Column("Switches", meaning="a true object gets another id than before"),
    Column("Fragments", meaning="a true object is found again after it was lost"),
    Column("Objects", meaning="true objects, one for each frame in which it is"),
    Column("Tracks", meaning="true tracks"),
)
_SWITCH_COLUMNS = (
    Column("Frame", numeric=False),
    Column("Time, s"),
    Column("Class", numeric=False),
    Column("True track"),
    Column("Id before"),
    Column("Id after"),
)


def tracking_section(
    scores: TrackingScores | None, frames: pd.DataFrame, categories: CategorySet, anchors: Anchors
) -> Section | Omission:
    """Build the section with the scores of tracking and the identity switches, which link to their frames.

    Args:
        scores: scores of the run; None if there are none.
        frames: table of frames.
        categories: categories of the run.
        anchors: anchors of the frames.
    """
    if scores is None:
        return Omission("Tracking", "the ground truth or the results have no track ids")
    lengths, values = ", ".join(map(str, scores.vpq_of_length)), ", ".join(map(percent, scores.vpq_of_length.values()))
    text = (
        f"STQ {percent(scores.quality.stq)} % (AQ {percent(scores.quality.association)}, SQ "
        f"{percent(scores.quality.segmentation)}): the pixels of each object should have one id in all frames. "
        f"VPQ {percent(scores.vpq)} %; in windows of {lengths} frames {values}.",
        f"{number(scores.things.switches)} times an object got another id than before.",
    )
    rows = [_score_row(Cell("all, as one class"), scores.things)]
    rows += [_score_row(class_cell(categories, one), found) for one, found in scores.of_category.items()]
    tables = [Table("Scores of identities, per cent, and counts.", _SCORE_COLUMNS, tuple(rows))]
    if len(scores.switches):
        tables.append(_switches(scores.switches, frames, categories, anchors))
    return Section("tracking", "Tracking", text, tables=tuple(tables))


def _score_row(name: Cell, scores: IdentityScores) -> Row:
    shares = (scores.hota, scores.detection, scores.association, scores.mota, scores.idf1)
    counts = (scores.switches, scores.fragments, scores.objects, scores.tracks)
    return Row((name, *(Cell(percent(one), one) for one in shares), *(Cell(number(one), one) for one in counts)))


def _switches(switches: pd.DataFrame, frames: pd.DataFrame, categories: CategorySet, anchors: Anchors) -> Table:
    several = frames["topic"].nunique() > 1
    shown = switches.head(LISTED_SWITCHES)
    rows = []
    for row, switch in zip(switched_rows(shown, frames), shown.to_dict("records"), strict=True):
        time = float(frames.loc[row, "time"])
        numbers = (int(switch[name]) for name in ("true_track", "before", "after"))
        cells = (
            Cell(frame_title(switch, several), href=anchors.url(row) or ""),
            Cell(number(time, 1), time),
            class_cell(categories, int(switch["category_id"])),
            *(Cell(str(one), one) for one in numbers),
        )
        rows.append(Row(cells))
    more = f" The first {LISTED_SWITCHES} of {len(switches)}." if len(switches) > len(shown) else ""
    return Table(f"Identity switches, which link to their frames.{more}", _SWITCH_COLUMNS, tuple(rows))
