# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Matching of label images with their segments and with depth of the same time."""

from __future__ import annotations

from collections import OrderedDict
from statistics import median
from typing import Generic, TypeVar

Labels = TypeVar("Labels")
Segments = TypeVar("Segments")
Depth = TypeVar("Depth")

INTERVALS = 10
"""Number of recent intervals between depth images whose median is the length of a frame."""

MAX_HALF_FRAME = 100_000_000
"""Nanoseconds: with slower sensors than 5 Hz, half of an interval would be too long for a robot that moves."""


class LabelMatcher(Generic[Labels, Segments]):
    """Pairs label images with the segments of the same stamp, which may arrive in any order."""

    def __init__(self, size: int) -> None:
        """Create the matcher, which keeps at most `size` label images and segments without the other."""
        self.forgotten = 0
        """Number of label images and segments that were forgotten."""
        self._labels: OrderedDict[int, Labels] = OrderedDict()
        self._segments: OrderedDict[int, Segments] = OrderedDict()
        self._size = size

    def put_labels(self, stamp: int, labels: Labels) -> tuple[Labels, Segments] | None:
        """Add a label image with a stamp in nanoseconds; returns it with its segments if they are known."""
        if (segments := self._segments.pop(stamp, None)) is not None:
            return labels, segments
        self.forgotten += _keep(self._labels, stamp, labels, self._size)
        return None

    def put_segments(self, stamp: int, segments: Segments) -> tuple[Labels, Segments] | None:
        """Add segments with a stamp in nanoseconds; returns them with their label image if it is known."""
        if (labels := self._labels.pop(stamp, None)) is not None:
            return labels, segments
        self.forgotten += _keep(self._segments, stamp, segments, self._size)
        return None


class DepthBuffer(Generic[Depth]):
    """Recent depth images or clouds, of which one is chosen by its stamp."""

    def __init__(self, size: int) -> None:
        """Create an empty buffer that keeps the newest `size` entries."""
        self._entries: OrderedDict[int, Depth] = OrderedDict()
        self._intervals: list[int] = []
        self._size = size

    def put(self, stamp: int, depth: Depth) -> None:
        """Add an entry with a stamp in nanoseconds."""
        if self._entries and (interval := stamp - next(reversed(self._entries))) > 0:
            self._intervals = [*self._intervals[1 - INTERVALS :], interval]
        _keep(self._entries, stamp, depth, self._size)

    @property
    def half_a_frame(self) -> int:
        """Half of the usual interval between entries in nanoseconds, limited; 0 while it is unknown."""
        return min(int(median(self._intervals)) // 2, MAX_HALF_FRAME) if self._intervals else 0

    def clear(self) -> None:
        """Forget the entries, as after a backward jump of the clock."""
        self._entries.clear()
        self._intervals = []

    def match(self, stamp: int, max_difference: int) -> tuple[int, Depth] | None:
        """Return the entry with a stamp, or else the nearest one, within a maximum difference in nanoseconds."""
        if (exact := self._entries.get(stamp)) is not None:
            return stamp, exact
        nearest = min(self._entries, key=lambda other: abs(other - stamp), default=None)
        if nearest is None or abs(nearest - stamp) > max_difference:
            return None
        return nearest, self._entries[nearest]

    def may_match_later(self, stamp: int) -> bool:
        """Whether an entry that arrives later may be nearer to a stamp: entries arrive in the order of their stamps."""
        return not self._entries or next(reversed(self._entries)) < stamp


def _keep(entries: OrderedDict[int, Depth], stamp: int, entry: Depth, size: int) -> int:
    """Add an entry, and forget the oldest ones beyond the size; returns their number."""
    entries.pop(stamp, None)
    entries[stamp] = entry
    forgotten = max(0, len(entries) - size)
    for _ in range(forgotten):
        entries.popitem(last=False)
    return forgotten
