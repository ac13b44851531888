# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Paired comparison of two runs: differences over their common frames, with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ciae_ros.inference import CategorySet
from ciae_ros.replay.bags.types import ReplayError
from ciae_ros.replay.metrics.matching import FN, FP, TP
from ciae_ros.replay.metrics.quality import class_scores
from ciae_ros.replay.metrics.run_tables import KEY, EvaluationRun

BLOCK = 1.0
"""Seconds of a sequence that are resampled together: neighbouring frames are correlated, and resampling them separately
would overstate the evidence."""
CONFIDENCE = 0.95
FEWEST_BLOCKS = 5
"""Minimum number of blocks for intervals."""

MetricSamples = dict[str, np.ndarray]
"""Values of S bootstrap samples by metric: (S,), or per class (S, C)."""


class ComparisonError(ReplayError):
    """Two runs that cannot be compared."""


@dataclass(frozen=True)
class PairedComparison:
    """Differences from A to B over their common frames. Fractions and seconds; NaN where unknown."""

    deltas: dict[str, dict[str, float]]
    """By metric (pq, pq_things, pq_stuff, miou, changed, latency_p50, latency_p99): a, b, delta (B - A), and low and
    high of its interval."""
    classes: pd.DataFrame
    """PQ of each class: category_id, a, b, delta, low, high."""
    frames: pd.DataFrame
    """Frames that are scored in both: bag, topic, index, pq_a, pq_b, delta."""
    wins: int
    """Number of frames in which B has the higher PQ."""
    losses: int
    ties: int


def compare(a: EvaluationRun, b: EvaluationRun, samples: int = 1000, seed: int = 0) -> PairedComparison:
    """Compare two runs of the same bags.

    Args:
        a: the reference run.
        b: the run to compare.
        samples: number of bootstrap samples, which draw blocks of `BLOCK` seconds with replacement.
        seed: seed of the random draws.

    Raises:
        ComparisonError: their categories differ, or they have no frame in common.
    """
    if _described(a.categories) != _described(b.categories):
        raise ComparisonError("the categories of the two runs differ: PQ can be compared within one set only")
    # A different recording of the same name has different stamps.
    common = a.frames.merge(b.frames, on=[*KEY, "stamp"], suffixes=("_a", "_b"))
    if common.empty:
        raise ComparisonError("the two runs have no frame in common: evaluate the same bags with both models")
    for name in ("changed", "latency"):
        columns = [f"{name}_a", f"{name}_b"]
        common.loc[common[columns].isna().any(axis=1), columns] = np.nan
    blocks = _blocks(common)
    weights = _weights(int(blocks.max()) + 1, samples, seed)
    found = [_metric_samples(run, common, suffix, blocks, weights) for run, suffix in ((a, "_a"), (b, "_b"))]
    of_class = found[0].pop("classes"), found[1].pop("classes")
    frames = _frames(common)
    return PairedComparison(
        deltas={name: _delta(found[0][name], found[1][name]) for name in found[0]},
        classes=_classes(a.categories, *of_class),
        frames=frames,
        wins=int((frames["delta"] > 0).sum()),
        losses=int((frames["delta"] < 0).sum()),
        ties=int((frames["delta"] == 0).sum()),
    )


def _described(categories: CategorySet) -> list[tuple[int, str, bool]]:
    return [(one.id, one.name, one.is_thing) for one in categories.categories]


def _blocks(common: pd.DataFrame) -> np.ndarray:
    """Return the block of each frame, (F,); a block belongs to one topic of one bag."""
    part = (common["time_a"] // BLOCK).fillna(0)
    return pd.factorize(pd.MultiIndex.from_arrays([common["bag"], common["topic"], part]))[0]


def _weights(blocks: int, samples: int, seed: int) -> np.ndarray:
    """Return how often each block is drawn, (S + 1, B); the first row is the original sample."""
    drawn = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), samples)
    if blocks < FEWEST_BLOCKS:
        drawn = drawn[:0]
    return np.vstack([np.ones((1, blocks)), drawn])


def _metric_samples(
    run: EvaluationRun, common: pd.DataFrame, suffix: str, blocks: np.ndarray, weights: np.ndarray
) -> MetricSamples:
    """Compute all metrics of the samples, of which the first is the original."""
    keys = common[KEY].assign(block=blocks)
    scored = keys[(common["has_truth_a"] & common["has_truth_b"]).to_numpy()]
    pq = _class_pq(run, scored, weights)
    is_thing = np.array([one.is_thing for one in run.categories.categories])
    iou = _class_iou(run, scored, weights)
    changed, latency = common[f"changed{suffix}"].to_numpy(float), common[f"latency{suffix}"].to_numpy(float)
    return {
        "classes": pq,
        "pq": _mean(pq),
        "pq_things": _mean(pq[:, is_thing]),
        "pq_stuff": _mean(pq[:, ~is_thing]),
        "miou": _mean(iou),
        "changed": _weighted_mean(changed, blocks, weights),
        "latency_p50": _weighted_quantile(latency, 0.5, blocks, weights),
        "latency_p99": _weighted_quantile(latency, 0.99, blocks, weights),
    }


def _class_pq(run: EvaluationRun, scored: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """(S, C)."""
    rows = run.segments.merge(scored, on=KEY)
    sums = _per_block(rows, run.categories, "category_id", weights.shape[1])
    tp, fp, fn = (weights @ sums(rows["outcome"] == outcome, None) for outcome in (TP, FP, FN))
    return class_scores(tp, fp, fn, weights @ sums(rows["outcome"] == TP, "iou"))["pq"]


def _class_iou(run: EvaluationRun, scored: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """(S, C)."""
    rows = run.confusion.merge(scored, on=KEY)
    everything = pd.Series(True, index=rows.index)
    right = rows["true_id"] == rows["predicted_id"]
    true = _per_block(rows, run.categories, "true_id", weights.shape[1])
    predicted = _per_block(rows, run.categories, "predicted_id", weights.shape[1])
    common = weights @ true(right, "pixels")
    union = weights @ true(everything, "pixels") + weights @ predicted(everything, "pixels") - common
    return np.divide(common, union, out=np.full(union.shape, np.nan), where=union > 0)


def _per_block(
    rows: pd.DataFrame, categories: CategorySet, column: str, blocks: int
) -> Callable[[pd.Series, str | None], np.ndarray]:
    """Return a function that sums or counts rows by block and category, (B, C)."""
    numbers = {one.id: number for number, one in enumerate(categories.categories)}
    place = rows[column].map(numbers)

    def sums(chosen: pd.Series, values: str | None) -> np.ndarray:
        used = chosen & place.notna()
        flat = rows["block"][used].to_numpy(int) * len(numbers) + place[used].to_numpy(int)
        amounts = None if values is None else rows[values][used].to_numpy(float)
        return np.bincount(flat, amounts, minlength=blocks * len(numbers)).reshape(blocks, len(numbers))

    return sums


def _mean(values: np.ndarray) -> np.ndarray:
    """Average over the classes of each sample, (S,); NaN if it has none."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    return np.divide(np.where(known, values, 0).sum(axis=1), count, out=np.full(len(values), np.nan), where=count > 0)


def _weighted_mean(values: np.ndarray, blocks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    total = weights @ np.bincount(blocks[known], values[known], minlength=weights.shape[1])
    count = weights @ np.bincount(blocks[known], minlength=weights.shape[1])
    return np.divide(total, count, out=np.full(len(weights), np.nan), where=count > 0)


def _weighted_quantile(values: np.ndarray, share: float, blocks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(values)
    order = order[~np.isnan(values[order])]
    if not len(order):
        return np.full(len(weights), np.nan)
    quantiles = np.empty(len(weights))
    # One sample at a time: all together would not fit into memory for long sequences.
    for sample, of_blocks in enumerate(weights):
        reached = np.cumsum(of_blocks[blocks[order]])
        place = np.searchsorted(reached, share * reached[-1])
        quantiles[sample] = values[order[min(place, len(order) - 1)]] if reached[-1] else np.nan
    return quantiles


def _delta(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    low, high = _interval((b - a)[1:])
    return {"a": float(a[0]), "b": float(b[0]), "delta": float(b[0] - a[0]), "low": low, "high": high}


def _interval(differences: np.ndarray) -> tuple[float, float]:
    known = differences[~np.isnan(differences)]
    if not len(known):
        return np.nan, np.nan
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, (outside, 1 - outside))
    return float(low), float(high)


def _classes(categories: CategorySet, a: np.ndarray, b: np.ndarray) -> pd.DataFrame:
    rows = [
        {"category_id": one.id} | _delta(a[:, number], b[:, number]) for number, one in enumerate(categories.categories)
    ]
    return pd.DataFrame(rows)


def _frames(common: pd.DataFrame) -> pd.DataFrame:
    found = common[[*KEY, "pq_a", "pq_b"]].dropna().reset_index(drop=True)
    return found.assign(delta=found["pq_b"] - found["pq_a"])
