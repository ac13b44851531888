# Copyright 2026 ciae_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Frames with their pictures: the worst, and some as they usually are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ciae_ros.replay.report.page import CardGroup, FrameCard, Omission, Section


def frames_section(
    worst: Sequence[int], typical: Sequence[int], cards: Mapping[int, FrameCard], *, has_truth: bool
) -> Section | Omission:
    """The frames whose pictures there are.

    Args:
        worst: rows of the table of frames, the worst one first.
        typical: the same.
        cards: by row.
        has_truth: what says which frames are worst.
    """
    measure = "lowest PQ" if has_truth else "most pixels that change class"
    groups = [
        CardGroup(title, tuple(cards[row] for row in rows if row in cards))
        for title, rows in ((f"Worst frames: {measure}", worst), ("Typical frames", typical))
    ]
    shown = tuple(group for group in groups if group.cards)
    if not shown:
        return Omission("Frames", "no frame's picture can be read again")
    text = "Drag the divider, or move it with the arrow keys; the buttons choose the two pictures."
    return Section("frames", "Frames", (text,), groups=shown, legend=has_truth)
