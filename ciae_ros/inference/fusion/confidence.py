# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Confidence of the categories: the margin of the most similar query over those of other categories, calibrated.

The margin is the difference of the cosine similarities (Eq. 16) of the best query and of the best one of another
category, at every second sample of the embedding map in each direction. A logistic function, fitted on held-out images,
turns it into the probability that the category is right.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ciae_ros.core.compiled import compiled
from ciae_ros.inference.geometry import EMBEDDING_STRIDE, ImageGeometry
from ciae_ros.inference.row_blocks import for_row_blocks
from ciae_ros.inference.settings import DeviceSettings, InferenceSettings

STEP = 2
"""Confidence is smooth: every sample would take four times as long as every second one in each direction."""
MAX_MARGIN = 2.0
"""Largest difference of two cosines, and the margin where only one category is eligible."""


class Margins(NamedTuple):
    """The margins at samples of an embedding map."""

    margin: Tensor
    """(h, w) float32, 0 to `MAX_MARGIN`."""
    winner: Tensor
    """(h, w) int64 index of the most similar query."""


class Confidence(NamedTuple):
    """Probabilities that categories are right."""

    at_samples: Tensor
    """`map_size` uint8, 255 for 1."""
    of_query: Tensor
    """(Q,) float32, 0 to 1: mean over the samples where the query is the most similar one; if there are none, the
    probability of a margin of 0."""


def map_size(geometry: ImageGeometry) -> tuple[int, int]:
    """Return the rows and columns of the samples that are in the image, not only in its padding."""
    height, width = (math.ceil(length / (STEP * EMBEDDING_STRIDE)) for length in geometry.resized)
    return height, width


def margins(embedding: Tensor, queries: Tensor, categories: Tensor, boxes: Tensor) -> Margins:
    """Compute the margins. Does not synchronise with CUDA devices.

    Args:
        embedding: (D, h, w) map of one padded image at stride 4, not normalised.
        queries: (Q, D) float32 of unit length; the last len(boxes) are instances.
        categories: (Q,) int64 of the queries.
        boxes: (K, 4) x1, y1, x2, y2 in pixels of the network's input: instances are eligible inside their boxes only.
    """
    samples = embedding[:, ::STEP, ::STEP].permute(1, 2, 0).float().contiguous()
    similarity = samples @ queries.T
    norm = samples.norm(dim=2).clamp(min=torch.finfo(torch.float32).tiny)
    find = _by_rows if samples.device.type == "cpu" else margins_at_once
    best, second, winner = find(similarity, categories, (boxes / EMBEDDING_STRIDE - 0.5) / STEP)
    return Margins(((best - second) / norm).clamp(max=MAX_MARGIN), winner)


def confidence(
    found: Margins, num_queries: int, settings: InferenceSettings | DeviceSettings, geometry: ImageGeometry
) -> Confidence:
    """Turn margins into probabilities.

    Args:
        found: margins of an image.
        num_queries: number of its queries.
        settings: their `confidence_slope` and `confidence_offset` are those of the logistic function.
        geometry: geometry of the image, whose padding is left out.
    """
    height, width = map_size(geometry)
    margin, winner = found.margin[:height, :width], found.winner[:height, :width].flatten()
    probability = torch.sigmoid(settings.confidence_slope * margin + settings.confidence_offset)
    sums = probability.new_zeros(2, num_queries)
    sums[0].index_add_(0, winner, probability.flatten())
    sums[1].index_add_(0, winner, torch.ones_like(probability).flatten())
    without_margin = 1 / (1 + math.exp(-settings.confidence_offset))
    of_query = torch.where(sums[1] > 0, sums[0] / sums[1], without_margin)
    return Confidence((255 * probability).round().to(torch.uint8), of_query)


def margins_at_once(similarity: Tensor, categories: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the highest similarity, the highest one of another category, and the winner, with fixed shapes.

    Args:
        similarity: (h, w, Q).
        categories: (Q,).
        boxes: (K, 4) of the last K queries, in samples.
    """
    height, width, num_queries = similarity.shape
    rows, columns = (torch.arange(length, device=similarity.device)[:, None] for length in (height, width))
    inside_y = (rows >= boxes[:, 1]) & (rows <= boxes[:, 3])
    inside_x = (columns >= boxes[:, 0]) & (columns <= boxes[:, 2])
    outside = ~(inside_y[:, None] & inside_x)
    similarity = similarity.clone()
    similarity[..., num_queries - len(boxes) :].masked_fill_(outside, -torch.inf)
    best, winner = similarity.max(dim=2)
    is_same = categories[winner][..., None] == categories
    return best, similarity.masked_fill_(is_same, -torch.inf).amax(dim=2), winner


def _by_rows(similarity: Tensor, categories: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `margins_at_once` returns, without copies, on the CPU."""
    values = similarity.contiguous().numpy()
    low, high = np.ceil(boxes[:, :2].numpy()), np.floor(boxes[:, 2:].numpy())
    size = values.shape[1::-1]
    first, end = (np.clip(corner, 0, size).astype(np.int64) for corner in (low, high + 1))
    best, second = (np.empty(values.shape[:2], np.float32) for _ in range(2))
    winner = np.empty(values.shape[:2], np.int64)
    for_row_blocks(_find_two_best, len(best), values, categories.numpy(), first, end, best, second, winner)
    return torch.from_numpy(best), torch.from_numpy(second), torch.from_numpy(winner)


@compiled
def _find_two_best(
    block: int,
    top: int,
    bottom: int,
    values: np.ndarray,
    categories: np.ndarray,
    first: np.ndarray,
    end: np.ndarray,
    best: np.ndarray,
    second: np.ndarray,
    winner: np.ndarray,
) -> None:
    """Compute sample rows top to bottom of the last three; `first` and `end` (K, 2) are x, y of instances."""
    num_stuff = values.shape[2] - len(first)
    open_instances = np.empty(len(first), np.int64)
    for i in range(top, bottom):
        num_open = 0
        for k in range(len(first)):
            if first[k, 1] <= i < end[k, 1]:
                open_instances[num_open] = k
                num_open += 1
        for j in range(values.shape[1]):
            highest, other = values[i, j, 0], np.float32(-np.inf)
            place, category = 0, categories[0]
            for n in range(1, num_stuff + num_open):
                q = n
                if n >= num_stuff:
                    k = open_instances[n - num_stuff]
                    if j < first[k, 0] or j >= end[k, 0]:
                        continue
                    q = num_stuff + k
                value = values[i, j, q]
                if value > highest:
                    if categories[q] != category:
                        other = highest
                    highest, place, category = value, q, categories[q]
                elif categories[q] != category and value > other:
                    other = value
            best[i, j], second[i, j], winner[i, j] = highest, other, place
