# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""HOTA, MOTA, IDF1 and identity switches of things, by motrics, which agrees with TrackEval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import motrics
import numpy as np
import pandas as pd

from ciae_ros.replay.metrics.matching import MATCHING_IOU, MAX_IGNORED_SHARE
from ciae_ros.replay.metrics.overlaps import FRAME, SEQUENCE


@dataclass(frozen=True)
class IdentityScores:
    """Scores of identities, 0 to 1, and counts."""

    hota: float
    detection: float
    """DetA."""
    association: float
    """AssA."""
    mota: float
    idf1: float
    switches: int
    """How often a true object gets another id than before."""
    fragments: int
    """How often a true object is found again after it was lost."""
    objects: int
    """True objects, one for each frame in which it is."""
    tracks: int
    """True tracks."""


@dataclass(frozen=True)
class _Frame:
    """The tracked things of a frame."""

    key: tuple[str, str, int]
    true: list[int]
    """T numbers of true tracks, which are those of one sequence only."""
    true_categories: np.ndarray
    true_tracks: np.ndarray
    """(T,) ids of the tracks in their sequence."""
    predicted: list[int]
    """P numbers of predicted tracks."""
    predicted_categories: np.ndarray
    predicted_tracks: np.ndarray
    """(P,) ids of the tracks in their sequence; 0 for things without one."""
    iou: np.ndarray
    """(T, P)."""

    def of_category(self, category: int) -> _Frame:
        """Return the things of one category."""
        rows, columns = self.true_categories == category, self.predicted_categories == category
        return _Frame(
            self.key,
            [one for one, keep in zip(self.true, rows, strict=True) if keep],
            self.true_categories[rows],
            self.true_tracks[rows],
            [one for one, keep in zip(self.predicted, columns, strict=True) if keep],
            self.predicted_categories[columns],
            self.predicted_tracks[columns],
            self.iou[np.ix_(rows, columns)],
        )


class Identities:
    """The identities of a run's things."""

    def __init__(self, overlaps: pd.DataFrame) -> None:
        """Take over the rows of `with_things`."""
        found = _numbered(overlaps, [*SEQUENCE, "predicted_track"])
        # A thing without an id is an object of its own in each frame.
        alone = _numbered(overlaps, [*FRAME, "segment"]) + found.max(initial=0)
        numbered = overlaps.assign(
            true_object=_numbered(overlaps, [*SEQUENCE, "true_track"]),
            predicted_object=np.where(overlaps["predicted_track"] > 0, found, alone),
        )
        self._frames = [_frame(key, rows) for key, rows in numbered.groupby(FRAME, sort=False)]

    def scores(self, category: int | None = None) -> IdentityScores:
        """Return the scores of all things as one category, whatever their categories are, or of one category."""
        frames = self._frames if category is None else [frame.of_category(category) for frame in self._frames]
        arguments = [one.true for one in frames], [one.predicted for one in frames], [_lists(one) for one in frames]
        hota = motrics.compute_hota_from_similarity(*arguments)
        clear = motrics.compute_clear_from_similarity(*arguments, MATCHING_IOU)
        identity = motrics.compute_identity_from_similarity(*arguments, MATCHING_IOU)
        return IdentityScores(
            hota.hota,
            hota.deta,
            hota.assa,
            clear.mota,
            identity.idf1,
            clear.num_switches,
            clear.frag,
            clear.num_gt,
            len({track for frame in frames for track in frame.true}),
        )

    def switches(self) -> pd.DataFrame:
        """Return the identity switches: frame, category_id, true_track, and the predicted tracks before and after."""
        rows = []
        last: dict[int, tuple[int, int]] = {}
        for frame in self._frames:
            if not frame.predicted:
                continue
            for row, track in enumerate(frame.true):
                column = int(frame.iou[row].argmax())
                if frame.iou[row, column] < MATCHING_IOU:
                    continue
                found = frame.predicted[column], int(frame.predicted_tracks[column])
                before = last.get(track, found)
                last[track] = found
                if found[0] != before[0]:
                    of_object = int(frame.true_categories[row]), int(frame.true_tracks[row])
                    rows.append((*frame.key, *of_object, before[1], found[1]))
        return pd.DataFrame(rows, columns=[*FRAME, "category_id", "true_track", "before", "after"])


def _numbered(overlaps: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Return a number from 1 for each combination of the columns."""
    return overlaps.groupby(columns, sort=False).ngroup().to_numpy() + 1


def _frame(key: tuple[str, str, int], rows: pd.DataFrame) -> _Frame:
    number, segment = rows["true_number"].to_numpy(), rows["segment"].to_numpy()
    pixels = np.zeros((number.max() + 1, segment.max() + 1))
    pixels[number, segment] = rows["pixels"]
    true = rows[rows["true_thing"]].drop_duplicates("true_number")
    predicted = rows[rows["predicted_thing"]].drop_duplicates("segment")
    things, found = true["true_number"].to_numpy(), predicted["segment"].to_numpy()
    common, area = pixels[np.ix_(things, found)], pixels.sum(axis=0)[found]
    iou = common / (pixels.sum(axis=1)[things, None] + area - common - pixels[0, found])
    is_ignored = np.isin(np.arange(len(pixels)), [0, *number[rows["ignored"]]])
    share = pixels[is_ignored][:, found].sum(axis=0) / area
    # As for PQ, what is mostly on void or a crowd is neither right nor wrong.
    kept = (share <= MAX_IGNORED_SHARE) | (iou.max(axis=0, initial=0) >= MATCHING_IOU)
    return _Frame(
        key,
        true["true_object"].tolist(),
        true["true_id"].to_numpy(),
        true["true_track"].to_numpy(),
        predicted["predicted_object"][kept].tolist(),
        predicted["predicted_id"].to_numpy()[kept],
        predicted["predicted_track"].to_numpy()[kept],
        iou[:, kept],
    )


def _lists(frame: _Frame) -> Sequence[Sequence[float]]:
    return frame.iou.tolist()
