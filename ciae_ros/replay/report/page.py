# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a page of a report is made of; the templates say how it looks."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Tile:
    """One figure of the first screen."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    kind: str = ""
    """CSS class: better or worse, in a comparison."""


@dataclass(frozen=True)
class Fact:
    """One line of what was run."""

    name: str
    value: str


@dataclass(frozen=True)
class Column:
    """Of a table."""

    name: str
    numeric: bool = True
    meaning: str = ""
    """Shown when the pointer rests on the name."""


@dataclass(frozen=True)
class Cell:
    """Of a table."""

    text: str
    value: float | None = None
    """What a numeric column is sorted by; None and nan come last."""
    share: float | None = None
    """0 to 1: length of a bar behind the text."""
    color: str = ""
    """CSS colour of a swatch before the text."""
    href: str = ""
    """Anchor that the text links to."""
    kind: str = ""
    """CSS class."""


@dataclass(frozen=True)
class Row:
    """Of a table."""

    cells: tuple[Cell, ...]
    anchor: str = ""
    """Its id in the page."""


@dataclass(frozen=True)
class Table:
    """Sortable by each column."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    sorted_by: int | None = None
    """The column in whose descending order the rows are, if any."""
    wide: bool = True
    """Takes the whole width of the page."""


@dataclass(frozen=True)
class Plot:
    """A figure drawn by matplotlib."""

    svg: Markup
    caption: str
    wide: bool = False
    """Takes the whole width of the page; on a phone it scrolls by itself."""


@dataclass(frozen=True)
class Picture:
    """One of the pictures of a frame."""

    kind: str
    """image, truth, prediction, error..."""
    label: str
    uri: str
    """data:"""


@dataclass(frozen=True)
class FrameCard:
    """The pictures of a frame, two of which are compared at a time."""

    anchor: str
    title: str
    facts: str
    pictures: tuple[Picture, ...]
    left: str
    """Kind of the picture on the left at first."""
    right: str
    size: tuple[int, int]
    """Width and height of the pictures."""


@dataclass(frozen=True)
class CardGroup:
    """Frames shown for the same reason."""

    title: str
    cards: tuple[FrameCard, ...]


@dataclass(frozen=True)
class Section:
    """One chapter of a report."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    """Paragraphs."""
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    groups: tuple[CardGroup, ...] = ()
    legend: bool = False
    """Explains the colours of the error pictures."""


@dataclass(frozen=True)
class Omission:
    """A chapter for which there is no data."""

    title: str
    reason: str
    """The end of a sentence: "no ground truth was given"."""


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    eyebrow: str
    """A line above the title: which kind of report this is."""
    subtitle: str
    tiles: tuple[Tile, ...]
    facts: tuple[Fact, ...]
    problems: tuple[str, ...]
    sections: tuple[Section, ...]
    omissions: tuple[Omission, ...]
    details: tuple[Fact, ...]
    """How it was made, at the end."""
