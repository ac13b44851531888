# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Frame-by-frame comparison of two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ciae_ros.replay.report.anchors import LISTED, Anchors, frame_title
from ciae_ros.replay.report.formatting import number, percent, signed
from ciae_ros.replay.report.page import CardGroup, Cell, Column, FrameCard, Omission, Plot, Row, Section, Table
from ciae_ros.replay.report.svg import BLUE, ORANGE, SOFT, draw_svg

UNSCORED = "the two runs have no scored frame in common"


def paired_section(frames: pd.DataFrame, counts: Mapping[str, int], anchors: Anchors) -> Section | Omission:
    """Build the section with wins and losses of B and a point for each frame.

    Args:
        frames: bag, topic, index, pq_a, pq_b and delta of the frames that both runs have.
        counts: wins, losses and ties of B.
        anchors: anchors of the frames in the page.
    """
    if frames.empty:
        return Omission("Frame by frame", UNSCORED)
    text = (
        f"B is better in {number(counts['wins'])} frames, worse in {number(counts['losses'])}, "
        f"equal in {number(counts['ties'])}."
    )
    return Section("frame-by-frame", "Frame by frame", (text,), (_scatter(frames, anchors),), (_bags(frames),))


def compared_frames_section(
    won: Sequence[int], lost: Sequence[int], cards: Mapping[int, FrameCard]
) -> Section | Omission:
    """Build the section with images of the frames with the largest wins and losses."""
    groups = [
        CardGroup(title, tuple(cards[row] for row in rows if row in cards))
        for title, rows in (("Won by most: B is better", won), ("Lost by most: A is better", lost))
    ]
    shown = tuple(group for group in groups if group.cards)
    if not shown:
        return Omission("Frames", "the image of no frame can be read again")
    legend = any(picture.kind == "error-a" for group in shown for card in group.cards for picture in card.pictures)
    text = "Drag the divider, or move it with the arrow keys; the buttons choose the two images."
    return Section("frames", "Frames", (text,), groups=shown, legend=legend)


def compared_table_section(frames: pd.DataFrame, anchors: Anchors) -> Section | Omission:
    """Build the table of the frames that both runs have."""
    if frames.empty:
        return Omission("All frames", UNSCORED)
    names = ["bag", "topic"] if frames["topic"].nunique() > 1 else ["bag"]
    columns = [*(Column(name.capitalize(), numeric=False) for name in names), Column("Frame")]
    columns += [Column("PQ A"), Column("PQ B"), Column("B − A")]
    listed = frames[: anchors.listed]
    rows = tuple(
        _row(position, frame, names, anchors)
        for position, frame in zip(listed.index, listed.to_dict("records"), strict=True)
    )
    caption = f"Every frame that both runs have: {number(len(frames))}. PQ in per cent."
    if len(frames) > LISTED:
        caption = f"The first {number(LISTED)} of {number(len(frames))} frames; comparison.csv has all of them."
    return Section("all-frames", "All frames", tables=(Table(caption, tuple(columns), rows),))


def _row(position: int, frame: dict[Any, Any], names: list[str], anchors: Anchors) -> Row:
    href = f"#frame-{position}" if position in anchors.shown else ""
    cells = [*(Cell(str(frame[name])) for name in names), Cell(str(frame["index"]), frame["index"], href=href)]
    cells += [Cell(percent(frame[key]), frame[key], frame[key]) for key in ("pq_a", "pq_b")]
    return Row((*cells, Cell(signed(100 * frame["delta"]), frame["delta"])), f"row-{position}")


def _scatter(frames: pd.DataFrame, anchors: Anchors) -> Plot:
    rows = anchors.plotted(frames.index.to_numpy())
    points = frames.loc[rows]
    several = frames["topic"].nunique() > 1
    titles = {
        anchors.of(row): f"{frame_title(frame, several)}: A {percent(frame['pq_a'])}, B {percent(frame['pq_b'])}"
        for row, frame in zip(rows, points.to_dict("records"), strict=True)
        if anchors.of(row)
    }
    values = 100 * points[["pq_a", "pq_b"]].to_numpy(float)
    ends = (max(0.0, values.min() - 3), min(100.0, values.max() + 3))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(ends, ends, color=SOFT, linewidth=0.8)
        colors = [BLUE if delta > 0 else ORANGE if delta < 0 else SOFT for delta in points["delta"]]
        marks = axes.scatter(values[:, 0], values[:, 1], s=16, c=colors, alpha=0.7, linewidths=0)
        marks.set_urls([anchors.url(row) for row in rows])
        axes.set(xlabel="PQ of A, %", ylabel="PQ of B, %", aspect="equal", xlim=ends, ylim=ends)

    caption = "Each frame's PQ in both runs; above the line (blue) B is better. Points link to the frames."
    return Plot(draw_svg("frame-by-frame", draw, (4.8, 4.4), "PQ of B against PQ of A by frame", titles), caption)


def _bags(frames: pd.DataFrame) -> Table:
    columns = (Column("Bag", numeric=False), Column("Won by B"), Column("Lost by B"), Column("Mean B − A, pp"))
    rows = []
    for bag, deltas in frames.groupby("bag", sort=False)["delta"]:
        counts = (int((deltas > 0).sum()), int((deltas < 0).sum()))
        mean = 100 * float(deltas.mean())
        rows.append(Row((Cell(str(bag)), *(Cell(number(one), one) for one in counts), Cell(signed(mean), mean))))
    return Table("Bag by bag.", columns, tuple(rows), wide=False)
