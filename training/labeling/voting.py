# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Votes of several teachers and views on the labels of an image.

The category of a pixel is the one with the most votes; a vote counts where it has a label. Pixels whose share of
agreeing votes is too low become void. Instances are those of the first teacher that tells the things of a category
apart. An instance that too few of the other votes confirm becomes part of a crowd, and so do pixels of things in which
that teacher has no instance: they are neither training examples nor background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ciae_ros.core.categories import Category
from ciae_ros.core.result import PanopticResult
from training.labeling.labels import Labels, LabelSegment

SAME_INSTANCE = 0.5
"""Minimum IoU of two masks of the same instance, as in PQ."""
MIN_KEPT = 0.5
"""Minimum share of an instance's mask that must win the vote; fragments are no instances."""
MIN_LABELLED = 0.5
"""Minimum share of an instance's pixels that another vote must have labelled to count, so that an object which is not
visible in a neighbouring frame is not rejected."""


@dataclass(frozen=True)
class Vote:
    """A teacher's result for one view, in the categories of the data set."""

    result: PanopticResult
    """Areas and boxes of its segments are not used."""
    regions: frozenset[int]
    """Ids of the segments of thing categories that may contain several objects."""
    instance_categories: frozenset[int]
    """Ids of the thing categories whose objects the teacher tells apart."""
    is_base: bool
    """Whether the view is the frame itself, so that its instances have the frame's outlines."""


@dataclass(frozen=True)
class Thresholds:
    """What is certain enough to be kept.

    Raises:
        ValueError: a value is invalid.
    """

    min_score: float = 0.5
    """Minimum score of a thing."""
    min_agreement: float = 0.6
    """Minimum share of agreeing votes of a pixel."""
    min_area: int = 64
    """Minimum number of pixels of a segment."""
    min_support: float | None = None
    """Minimum share of votes that confirm an instance, if not that of `min_agreement`."""

    def __post_init__(self) -> None:
        shares = {"min_score": self.min_score, "min_agreement": self.min_agreement, "min_support": self.support}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in 0..1, not {value}")
        if self.min_area < 1:
            raise ValueError(f"min_area must be at least 1, not {self.min_area}")

    @property
    def support(self) -> float:
        """Return the minimum share of votes that confirm an instance."""
        return self.min_agreement if self.min_support is None else self.min_support


@dataclass(frozen=True)
class _Instance:
    mask: np.ndarray
    """(H, W) bool."""
    category: Category
    score: float
    support: float
    """Share of the votes that confirm it."""


def combine(votes: Sequence[Vote], thresholds: Thresholds) -> Labels:
    """Combine votes, at least one, on one image; of categories with equally many votes, the first vote's wins."""
    semantic = np.stack([_semantic(vote, thresholds.min_score) for vote in votes])
    winner, agreement = _elect(semantic)
    winner[agreement < thresholds.min_agreement] = 0
    segments: list[tuple[np.ndarray, LabelSegment]] = []
    ids = np.zeros(winner.shape, np.uint16)

    def add(mask: np.ndarray, category: Category, score: float, support: float, *, is_crowd: bool = False) -> None:
        area = int(mask.sum())
        if area >= thresholds.min_area:
            agreeing = support * float(agreement[mask].mean())
            segments.append((mask, LabelSegment(len(segments) + 1, category, score, agreeing, is_crowd)))

    for category in _categories(votes, winner):
        won = winner == category.id
        if not category.is_thing:
            add(won, category, _score(votes, category), 1.0)
            continue
        crowd = won.copy()
        for instance in _instances(votes, category, thresholds):
            kept = instance.mask & won
            if instance.support >= thresholds.support and kept.sum() >= MIN_KEPT * instance.mask.sum():
                add(kept, category, instance.score, instance.support)
                crowd &= ~kept
        add(crowd, category, _score(votes, category), 1.0, is_crowd=True)
    for mask, segment in segments:
        ids[mask] = segment.id
    shares = None if len(votes) == 1 else np.round(255 * agreement).astype(np.uint8)
    return Labels(ids, tuple(segment for _, segment in segments), shares)


def _semantic(vote: Vote, min_score: float) -> np.ndarray:
    """Return the category ids of a vote, (H, W) uint16; 0 where it has no label or the score of a thing is too low."""
    table = np.zeros(len(vote.result.segments) + 1, np.uint16)
    for segment in vote.result.segments:
        if not segment.category.is_thing or segment.id in vote.regions or segment.score >= min_score:
            table[segment.id] = segment.category.id
    return table[vote.result.label_map]


def _elect(semantic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return category ids (H, W) with the most votes and the share of agreeing votes (H, W) float32."""
    support = np.zeros(semantic.shape, np.uint8)
    for row in semantic:
        support += semantic == row
    support[semantic == 0] = 0
    best = support.argmax(axis=0)[None]
    winner = np.take_along_axis(semantic, best, axis=0)[0]
    votes = np.take_along_axis(support, best, axis=0)[0].astype(np.float32)
    return winner, votes / np.maximum((semantic != 0).sum(axis=0), 1).astype(np.float32)


def _categories(votes: Sequence[Vote], winner: np.ndarray) -> list[Category]:
    """Return the categories that have won pixels, by id."""
    present = set(np.unique(winner).tolist())
    known = {one.category.id: one.category for vote in votes for one in vote.result.segments}
    return [known[one] for one in sorted(present & known.keys())]


def _score(votes: Sequence[Vote], category: Category) -> float:
    """Return the mean score of the segments of a category, weighted by area."""
    found = [one for vote in votes for one in vote.result.segments if one.category.id == category.id]
    areas = np.array([one.area for one in found], float)
    return float(np.average([one.score for one in found], weights=areas))


def _instances(votes: Sequence[Vote], category: Category, thresholds: Thresholds) -> list[_Instance]:
    """Return the instances of a thing category with the votes that confirm them."""
    voters = [vote for vote in votes if category.id in vote.instance_categories]
    reference = next((vote for vote in voters if vote.is_base), None)
    if reference is None:
        return []
    others = [
        (vote.result.label_map != 0, _masks(vote, category, thresholds.min_score))
        for vote in voters
        if vote is not reference
    ]
    found = []
    for mask, score in _masks(reference, category, thresholds.min_score):
        seen = [masks for is_labelled, masks in others if is_labelled[mask].mean() >= MIN_LABELLED]
        scores = [score, *(best for masks in seen if (best := _matching_score(mask, masks)) is not None)]
        found.append(_Instance(mask, category, float(np.mean(scores)), len(scores) / (1 + len(seen))))
    return found


def _masks(vote: Vote, category: Category, min_score: float) -> list[tuple[np.ndarray, float]]:
    return [
        (vote.result.label_map == one.id, one.score)
        for one in vote.result.segments
        if one.category.id == category.id and one.id not in vote.regions and one.score >= min_score
    ]


def _matching_score(mask: np.ndarray, others: Sequence[tuple[np.ndarray, float]]) -> float | None:
    """Return the score of the instance with the same mask; None if there is none. Masks of a vote do not overlap."""
    for other, score in others:
        intersection = np.count_nonzero(mask & other)
        if intersection > SAME_INSTANCE * (np.count_nonzero(mask) + np.count_nonzero(other) - intersection):
            return score
    return None
