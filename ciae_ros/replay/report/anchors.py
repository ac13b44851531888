# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Where in a page a frame is found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

LISTED = 2000
"""Rows of the table of frames at most: a browser still sorts them at once."""
PLOTTED = 1600
"""Points in one figure at most, besides the frames with pictures."""


@dataclass(frozen=True)
class Anchors:
    """Anchors of the rows of a run's table of frames."""

    shown: frozenset[int]
    """Rows (from 0) of the frames whose pictures the page has."""
    listed: int
    """How many rows the page's table of frames has: the first ones."""

    def of(self, row: int) -> str:
        """Of the frame's pictures, else of its row, else empty."""
        if row in self.shown:
            return f"frame-{row}"
        return f"row-{row}" if row < self.listed else ""

    def url(self, row: int) -> str | None:
        """The same as a link; None where there is nothing to link to."""
        anchor = self.of(row)
        return f"#{anchor}" if anchor else None

    def plotted(self, rows: np.ndarray, parts: int = 1) -> np.ndarray:
        """As many rows as a figure can show, spread evenly, and the frames with pictures in any case.

        Args:
            rows: of one part of the figure.
            parts: of the figure, which share its points.
        """
        most = PLOTTED // parts
        if len(rows) <= most:
            return rows
        spread = rows[np.linspace(0, len(rows) - 1, most).astype(int)]
        return np.union1d(spread, rows[np.isin(rows, list(self.shown))])


def frame_title(frame: pd.Series | dict[str, object], several_topics: bool) -> str:
    """How a frame is called: its drive, topic and number."""
    topic = f" {frame['topic']}" if several_topics else ""
    return f"{frame['bag']}{topic} #{frame['index']}"
