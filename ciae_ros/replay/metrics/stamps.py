# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Detection of implausible stamps."""

from __future__ import annotations

import pandas as pd

from ciae_ros.replay.bags.types import UNREADABLE

JUMP = 1.0
"""Maximum seconds by which intervals between stamps may differ from intervals between log times."""

UNMATCHED = "frames with equal stamps get no ground truth by stamp, and no responses of the node"


def stamp_problems(frames: pd.DataFrame) -> list[str]:
    """Report topics whose stamps jump or go backwards, which makes `changed`, gaps and times unreliable there."""
    problems = []
    for (bag, topic), of_topic in frames.groupby(["bag", "topic"], sort=False):
        ordered = of_topic[of_topic["problem"] != UNREADABLE].sort_values("index")
        stamps, log_times = (ordered[name].diff().iloc[1:] * 1e-9 for name in ("stamp", "log_time"))
        backwards, repeated = stamps < 0, stamps == 0
        jumps = ((stamps - log_times).abs() > JUMP) & ~backwards
        found = [
            f"{count} {what}"
            for count, what in (
                (int(backwards.sum()), "go backwards"),
                (int(repeated.sum()), "repeat that of the previous frame"),
                (int(jumps.sum()), f"jump by more than {JUMP:g} s against the time of recording"),
            )
            if count
        ]
        if found:
            first = ordered["index"].loc[(backwards | repeated | jumps).idxmax()]
            line = f"{bag}, {topic}: of the frames' stamps {', '.join(found)}; the first is frame {first}'s"
            problems.append(f"{line}; {UNMATCHED}" if repeated.any() else line)
    return problems
