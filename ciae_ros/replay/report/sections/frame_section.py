# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Images of the worst frames and of typical ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ciae_ros.replay.report.page import CardGroup, FrameCard, Omission, Section


def frames_section(
    worst: Sequence[int],
    typical: Sequence[int],
    switched: Sequence[int],
    cards: Mapping[int, FrameCard],
    *,
    has_truth: bool,
) -> Section | Omission:
    """Build the section with the frames that have images.

    Args:
        worst: rows of the worst frames in the table of frames, the worst one first.
        typical: rows of typical frames.
        switched: rows of frames with identity switches.
        cards: cards of the frames by row.
        has_truth: whether the worst frames are those with the lowest PQ, or those with the most changed pixels.
    """
    metric = "lowest PQ" if has_truth else "most pixels that change class"
    others = [row for row in switched if row not in {*worst, *typical}]
    groups = [
        CardGroup(title, tuple(cards[row] for row in rows if row in cards))
        for title, rows in (
            (f"Worst frames: {metric}", worst),
            ("Typical frames", typical),
            ("Further frames with identity switches", others),
        )
    ]
    shown = tuple(group for group in groups if group.cards)
    if not shown:
        return Omission("Frames", "the image of no frame can be read again")
    text = "Drag the divider, or move it with the arrow keys; the buttons choose the two images."
    return Section("frames", "Frames", (text,), groups=shown, legend=has_truth)
