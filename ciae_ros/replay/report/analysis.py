# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Analysis of a run for its report; every metric is computed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from ciae_ros.replay.metrics.breakdowns import by_distance, by_size, confusion_matrix, over_time
from ciae_ros.replay.metrics.latency import gaps, latency_table
from ciae_ros.replay.metrics.notable_frames import typical_frames, worst_frames
from ciae_ros.replay.metrics.quality import per_class_iou, quality
from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.metrics.summary import summarize
from ciae_ros.replay.metrics.tracking import TrackingScores, switched_rows, tracking_scores

SHOWN = 6
"""Number of worst frames and of typical frames with images."""


@dataclass(frozen=True)
class Analysis:
    """The metrics of a run, as returned by the functions of `metrics`."""

    run: EvaluationRun

    @classmethod
    def of(cls, run: EvaluationRun) -> Analysis:
        """Create the analysis, with frames numbered from 0 like the anchors of the page."""
        return cls(replace(run, frames=run.frames.reset_index(drop=True)))

    @property
    def has_truth(self) -> bool:
        """Whether any frame has ground truth."""
        return bool(self.run.frames["has_truth"].any())

    @cached_property
    def summary(self) -> dict[str, float]:
        return summarize(self.run)

    @cached_property
    def classes(self) -> pd.DataFrame:
        """Metrics of each class, with its IoU."""
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

    @property
    def tracking(self) -> TrackingScores | None:
        """Metrics of tracking; None if there are none."""
        return tracking_scores(self.run)

    @cached_property
    def switched(self) -> list[int]:
        """Rows of the first frames with identity switches."""
        rows = switched_rows(self.tracking.switches, self.run.frames) if self.tracking else []
        return list(dict.fromkeys(rows))[:SHOWN]

    @cached_property
    def worst(self) -> list[int]:
        """Rows of the worst frames."""
        return list(worst_frames(self.run.frames, SHOWN).index)

    @cached_property
    def typical(self) -> list[int]:
        """Rows of typical frames, without the worst."""
        return list(typical_frames(self.run.frames.drop(self.worst), SHOWN).index)
