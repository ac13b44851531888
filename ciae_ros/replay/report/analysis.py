# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Everything that a report says of a run, computed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from ciae_ros.replay.measures.breakdowns import by_distance, by_size, confusion_matrix, over_time
from ciae_ros.replay.measures.gate import figures
from ciae_ros.replay.measures.latency import gaps, latency_table
from ciae_ros.replay.measures.notable_frames import typical_frames, worst_frames
from ciae_ros.replay.measures.quality import per_class_iou, quality
from ciae_ros.replay.types import Run

SHOWN = 6
"""Worst frames with pictures, and as many typical ones."""


@dataclass(frozen=True)
class Analysis:
    """The measures of a run; tables as the measures' functions give them."""

    run: Run

    @classmethod
    def of(cls, run: Run) -> Analysis:
        """The frames are numbered from 0, as the page's anchors number them."""
        return cls(replace(run, frames=run.frames.reset_index(drop=True)))

    @property
    def has_truth(self) -> bool:
        """Is there anything to compare with?"""
        return bool(self.run.frames["has_truth"].any())

    @cached_property
    def figures(self) -> dict[str, float]:
        return figures(self.run)

    @cached_property
    def classes(self) -> pd.DataFrame:
        """A row for each class, with its IoU."""
        table = quality(self.run.segments, self.run.categories)
        return table.assign(iou=table["category_id"].map(per_class_iou(self.run.confusion, self.run.categories)))

    @cached_property
    def sizes(self) -> pd.DataFrame:
        return by_size(self.run.segments)

    @cached_property
    def distances(self) -> pd.DataFrame:
        return by_distance(self.run.segments)

    @cached_property
    def drive(self) -> pd.DataFrame:
        return over_time(self.run.frames, self.run.segments)

    @cached_property
    def confusion(self) -> pd.DataFrame:
        return confusion_matrix(self.run.confusion, self.run.categories)

    @cached_property
    def latencies(self) -> pd.DataFrame:
        return latency_table(self.run.frames)

    @cached_property
    def gaps(self) -> pd.DataFrame:
        return gaps(self.run.frames)

    @cached_property
    def worst(self) -> list[int]:
        """Rows of the frames."""
        return list(worst_frames(self.run.frames, SHOWN).index)

    @cached_property
    def typical(self) -> list[int]:
        """Rows of the frames, without the worst."""
        return list(typical_frames(self.run.frames.drop(self.worst), SHOWN).index)
