# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The metrics of tracking of a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from ciae_ros.replay.metrics.identities import Identities, IdentityScores
from ciae_ros.replay.metrics.overlaps import FRAME, with_things
from ciae_ros.replay.metrics.run_tables import EvaluationRun
from ciae_ros.replay.metrics.tubes import TrackingQuality, segmentation_and_tracking_quality, video_panoptic_quality


@dataclass(frozen=True)
class TrackingScores:
    """The metrics of tracking over all sequences of a run."""

    quality: TrackingQuality
    vpq_of_length: dict[int, float]
    """VPQ, 0 to 1, by the number of frames of its windows."""
    things: IdentityScores
    """Of all things, whatever their categories are."""
    of_category: dict[int, IdentityScores]
    """By the ids of the categories that have true tracks."""
    switches: pd.DataFrame
    """Identity switches, see `Identities.switches`."""

    @property
    def vpq(self) -> float:
        """VPQ, 0 to 1: the mean over the lengths of the windows; NaN if no sequence is long enough for any."""
        known = [value for value in self.vpq_of_length.values() if not np.isnan(value)]
        return float(np.mean(known)) if known else np.nan


@lru_cache(maxsize=2)
def tracking_scores(run: EvaluationRun) -> TrackingScores | None:
    """Compute the metrics of tracking; None if ground truth or results have no tracks."""
    overlaps = with_things(run.overlaps, run.categories)
    if not overlaps["true_thing"].any() or not (overlaps["predicted_track"] > 0).any():
        return None
    identities = Identities(overlaps)
    categories = sorted(overlaps.loc[overlaps["true_thing"], "true_id"].unique().tolist())
    return TrackingScores(
        segmentation_and_tracking_quality(overlaps),
        video_panoptic_quality(overlaps),
        identities.scores(),
        {category: identities.scores(category) for category in categories},
        identities.switches(),
    )


def switched_rows(switches: pd.DataFrame, frames: pd.DataFrame) -> list[int]:
    """Return the row in the table of frames of each identity switch."""
    row_of = pd.Series(frames.index, index=pd.MultiIndex.from_frame(frames[FRAME]))
    return [int(row_of[one]) for one in switches[FRAME].itertuples(index=False, name=None)]
