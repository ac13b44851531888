# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Elements of a report page; the templates define their appearance."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Tile:
    """A summary value on the first screen."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    kind: str = ""
    """CSS class: better or worse, in a comparison."""


@dataclass(frozen=True)
class Fact:
    """A named fact about the run."""

    name: str
    value: str


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    numeric: bool = True
    meaning: str = ""
    """Tooltip of the name."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    value: float | None = None
    """Sort key in a numeric column; None and NaN come last."""
    share: float | None = None
    """Length of a bar behind the text, 0 to 1."""
    color: str = ""
    """CSS colour of a swatch next to the text."""
    href: str = ""
    """Anchor that the text links to."""
    kind: str = ""
    """CSS class."""


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    cells: tuple[Cell, ...]
    anchor: str = ""
    """Id in the page."""


@dataclass(frozen=True)
class Table:
    """A table that can be sorted by any column."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    sorted_by: int | None = None
    """Column by which the rows are sorted in descending order, if any."""
    wide: bool = True
    """Whether it takes the full page width."""


@dataclass(frozen=True)
class Plot:
    """A figure drawn by matplotlib."""

    svg: Markup
    caption: str
    wide: bool = False
    """Whether it takes the full page width; on a phone it scrolls."""


@dataclass(frozen=True)
class Picture:
    """An image of a frame."""

    kind: str
    """image, truth, prediction, error..."""
    label: str
    uri: str
    """data:"""


@dataclass(frozen=True)
class FrameCard:
    """The images of a frame, two of which are compared at a time."""

    anchor: str
    title: str
    facts: str
    pictures: tuple[Picture, ...]
    left: str
    """Kind of the image that is initially on the left."""
    right: str
    size: tuple[int, int]
    """Width and height of the images."""


@dataclass(frozen=True)
class CardGroup:
    """Frames that are shown for the same reason."""

    title: str
    cards: tuple[FrameCard, ...]


@dataclass(frozen=True)
class Section:
    """A section of a report."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    """Paragraphs."""
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    groups: tuple[CardGroup, ...] = ()
    legend: bool = False
    """Whether to explain the colours of the error images."""


@dataclass(frozen=True)
class Omission:
    """A section for which there is no data."""

    title: str
    reason: str
    """Reason, as the end of a sentence: "no ground truth was given"."""


@dataclass(frozen=True)
class Page:
    """A complete report page."""

    title: str
    eyebrow: str
    """Kind of the report, above the title."""
    subtitle: str
    tiles: tuple[Tile, ...]
    facts: tuple[Fact, ...]
    problems: tuple[str, ...]
    sections: tuple[Section, ...]
    omissions: tuple[Omission, ...]
    details: tuple[Fact, ...]
    """How the run was made, at the end of the page."""
