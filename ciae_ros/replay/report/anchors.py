# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Anchors of frames in a page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

LISTED = 2000
"""Maximum number of rows in the frame table, which a browser can still sort quickly."""
PLOTTED = 1600
"""Maximum number of points in a figure, besides the frames with images."""


@dataclass(frozen=True)
class Anchors:
    """Anchors of the rows of a run's frame table."""

    shown: frozenset[int]
    """Rows of the frames whose images the page shows."""
    listed: int
    """Number of rows in the page's frame table, which lists the first frames."""

    def of(self, row: int) -> str:
        """Return the anchor of the frame's images, or else of its row, or an empty string."""
        if row in self.shown:
            return f"frame-{row}"
        return f"row-{row}" if row < self.listed else ""

    def url(self, row: int) -> str | None:
        """Return the anchor as a link; None if there is none."""
        anchor = self.of(row)
        return f"#{anchor}" if anchor else None

    def plotted(self, rows: np.ndarray, parts: int = 1) -> np.ndarray:
        """Select evenly spaced rows for a figure, and all rows of frames with images.

        Args:
            rows: rows of one part of the figure.
            parts: number of parts, which share the figure's points.
        """
        most = PLOTTED // parts
        if len(rows) <= most:
            return rows
        spread = rows[np.linspace(0, len(rows) - 1, most).astype(int)]
        return np.union1d(spread, rows[np.isin(rows, list(self.shown))])


def frame_title(frame: pd.Series | dict[str, object], several_topics: bool) -> str:
    """Return the title of a frame: bag, topic and index."""
    topic = f" {frame['topic']}" if several_topics else ""
    return f"{frame['bag']}{topic} #{frame['index']}"
