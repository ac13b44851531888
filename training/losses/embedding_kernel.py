# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The sums of Eq. 8 over the pixels of an image and their gradient, on a CPU, without up-sampling the embedding.

Up-sampling and inner product are linear. The similarities of a pixel, but for its norm, are therefore the bilinear
interpolation of those at the samples of the embedding map, of which there are 16 times fewer; and what a pixel
contributes to the gradient is distributed to its four samples before it is multiplied with the queries. All products
with vectors of the embedding's dimension are matrix products over the samples, except for the pixel's norm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ciae_ros.core.compiled import compiled
from ciae_ros.inference.row_blocks import for_row_blocks, num_row_blocks

EPS = 1e-12
"""Minimum norm, as in `F.normalize`."""


@dataclass(frozen=True)
class PixelGrid:
    """The pixels of one axis among the samples of the embedding map, as `F.interpolate` up-samples it."""

    start: np.ndarray
    """(m,) first pixel of the cell between each sample and the next; the last entry is the number of pixels."""
    fraction: np.ndarray
    """(n,) position of each pixel between the two samples of its cell, 0 to 1."""
    center: np.ndarray
    """(n,) position in pixels of the input."""

    @classmethod
    def of_axis(
        cls, num_pixels: int, num_samples: int, pixel_stride: int, embedding_stride: int, dtype: np.dtype
    ) -> PixelGrid:
        """Return the grid for every `pixel_stride`-th pixel of an axis, with fractions of a type."""
        index = np.arange(num_pixels)
        position = ((index + 0.5) * pixel_stride / embedding_stride - 0.5).clip(0, num_samples - 1)
        cell = np.minimum(position.astype(np.int64), num_samples - 2)
        return cls(
            start=np.searchsorted(cell, np.arange(num_samples)),
            fraction=(position - cell).astype(dtype),
            center=index * pixel_stride + pixel_stride // 2 + 0.5,
        )

    def inside(self, low: Tensor, high: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return the first pixel within each of K intervals, and one past the last."""
        first = np.searchsorted(self.center, low.numpy())
        return first, np.searchsorted(self.center, high.numpy(), side="right")


@dataclass(frozen=True)
class PixelTargets:
    """What each pixel should be similar to; the queries are M_c's, of which the last are M_s's first, and instances."""

    rows: PixelGrid
    columns: PixelGrid
    segments: np.ndarray
    """(H, W) int64: index of a stuff class or instance; negative: the pixel does not count."""
    category_query: np.ndarray
    """(S,) own query in M_c of each segment; (0,) if the categories are not discriminated."""
    num_memory: int
    """Number of queries in M_c."""
    first_of_segments: int
    """Index of the first query of M_s, to which all later ones belong."""
    segment_query: np.ndarray
    """(S,) own query in M_s of each segment."""
    weight: np.ndarray
    """(S,) weight of a pixel of each segment in L_IAE."""
    first_row: np.ndarray
    """(K,) first row in which each instance is similar to anything (Sec. IV-B); the next three are like it."""
    end_row: np.ndarray
    first_column: np.ndarray
    end_column: np.ndarray


def interpolation_weights(targets: PixelTargets, shape: tuple[int, int], num_segments: int) -> Tensor:
    """Return (h * w, S): the sum of the weights with which each sample contributes to the pixels of each segment."""
    weights = np.zeros((*shape, num_segments), targets.rows.fraction.dtype)
    for phase in range(2):
        for_row_blocks(_add_weights, shape[0] - 1, phase, *_axes(targets), targets.segments, weights)
    return torch.from_numpy(weights).flatten(0, 1)


def pixel_losses(
    embedding: Tensor, queries: Tensor, targets: PixelTargets, margin: float, top_k: int, alpha: float, pole: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the sums of L_CAE and L_IAE and the gradient of the first plus alpha times the second.

    Args:
        embedding: (h, w, D) at stride 4, contiguous.
        queries: (Q, D) of unit length and the same type.
        targets: the pixels.
        margin: margin of Eq. 7.
        top_k: K of Eq. 9.
        alpha: weight of L_IAE.
        pole: minimum argument of the logarithm.

    Returns:
        The sums (2,); the gradient with respect to the inner products of samples and queries (h * w, Q), before the
        division by the pixels' norms; and the gradient of the samples (h * w, D) through these norms.
    """
    height, width, dim = embedding.shape
    similarity = (embedding.flatten(0, 1) @ queries.T).view(height, width, len(queries))
    kind = similarity.numpy().dtype.type
    sums = np.zeros((num_row_blocks(height - 1), 2))
    by_query = np.zeros(similarity.shape, kind)
    by_norm = np.zeros((height, width, dim), kind)
    constants = kind(1), kind(margin), kind(alpha), kind(pole), top_k - 1
    for phase in range(2):
        for_row_blocks(
            _add_losses,
            height - 1,
            phase,
            *_axes(targets),
            targets.segments,
            targets.category_query,
            targets.num_memory,
            targets.first_of_segments,
            targets.segment_query,
            targets.weight,
            targets.first_row,
            targets.end_row,
            targets.first_column,
            targets.end_column,
            embedding.numpy(),
            similarity.numpy(),
            *constants,
            sums,
            by_query,
            by_norm,
        )
    total = torch.from_numpy(sums.sum(axis=0)).to(embedding.dtype)
    return total, torch.from_numpy(by_query).flatten(0, 1), torch.from_numpy(by_norm).flatten(0, 1)


def _axes(targets: PixelTargets) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = targets.rows, targets.columns
    return rows.start, rows.fraction, columns.start, columns.fraction


# Blocks of cell rows also add to the row of samples after their last one, which belongs to the next block: even and odd
# blocks run one after the other (`phase`).


@compiled
def _add_weights(
    block: int,
    top: int,
    bottom: int,
    phase: int,
    row_start: np.ndarray,
    row_fraction: np.ndarray,
    column_start: np.ndarray,
    column_fraction: np.ndarray,
    segments: np.ndarray,
    weights: np.ndarray,
) -> None:
    if block % 2 != phase:
        return
    for i in range(top, bottom):
        for y in range(row_start[i], row_start[i + 1]):
            fy = row_fraction[y]
            for j in range(weights.shape[1] - 1):
                for x in range(column_start[j], column_start[j + 1]):
                    segment, fx = segments[y, x], column_fraction[x]
                    if segment >= 0:
                        weights[i, j, segment] += (1 - fy) * (1 - fx)
                        weights[i, j + 1, segment] += (1 - fy) * fx
                        weights[i + 1, j, segment] += fy * (1 - fx)
                        weights[i + 1, j + 1, segment] += fy * fx


@compiled
def _add_losses(
    block: int,
    top: int,
    bottom: int,
    phase: int,
    row_start: np.ndarray,
    row_fraction: np.ndarray,
    column_start: np.ndarray,
    column_fraction: np.ndarray,
    segments: np.ndarray,
    category_query: np.ndarray,
    num_memory: int,
    first_of_segments: int,
    segment_query: np.ndarray,
    weight: np.ndarray,
    first_row: np.ndarray,
    end_row: np.ndarray,
    first_column: np.ndarray,
    end_column: np.ndarray,
    embedding: np.ndarray,
    similarity: np.ndarray,
    one: float,
    margin: float,
    alpha: float,
    pole: float,
    num_others: int,
    sums: np.ndarray,
    by_query: np.ndarray,
    by_norm: np.ndarray,
) -> None:
    """Add the losses of the pixels in cell rows top to bottom, and their gradients at the samples."""
    if block % 2 != phase:
        return
    width, num_queries, dim = similarity.shape[1], similarity.shape[2], embedding.shape[2]
    zero = one - one
    scale = one / (2 * one + margin)
    similarity_row = np.empty((width, num_queries), similarity.dtype)
    embedding_row = np.empty((width, dim), similarity.dtype)
    query_row = np.empty((width, num_queries), similarity.dtype)
    norm_row = np.empty((width, dim), similarity.dtype)
    pixel = np.empty(dim, similarity.dtype)
    at_pixel = np.empty(num_queries, similarity.dtype)
    is_outside = np.zeros(num_queries, np.bool_)
    highest = np.empty(num_others + 1, similarity.dtype)
    place = np.empty(num_others + 1, np.int64)
    for i in range(top, bottom):
        for y in range(row_start[i], row_start[i + 1]):
            fy = row_fraction[y]
            for j in range(width):
                for q in range(num_queries):
                    similarity_row[j, q] = similarity[i, j, q] + fy * (similarity[i + 1, j, q] - similarity[i, j, q])
                    query_row[j, q] = 0
                for d in range(dim):
                    embedding_row[j, d] = embedding[i, j, d] + fy * (embedding[i + 1, j, d] - embedding[i, j, d])
                    norm_row[j, d] = 0
            for j in range(width - 1):
                for x in range(column_start[j], column_start[j + 1]):
                    segment = segments[y, x]
                    if segment < 0:
                        continue
                    fx = column_fraction[x]
                    squared = zero
                    for d in range(dim):
                        pixel[d] = embedding_row[j, d] + fx * (embedding_row[j + 1, d] - embedding_row[j, d])
                        squared += pixel[d] * pixel[d]
                    norm = max(np.sqrt(squared), EPS * one)
                    inverse = one / norm
                    for q in range(num_queries):
                        at_pixel[q] = inverse * (
                            similarity_row[j, q] + fx * (similarity_row[j + 1, q] - similarity_row[j, q])
                        )
                    # The sum of gradient times similarity, which is the gradient along the pixel's own vector.
                    along = zero
                    for part in range(2):
                        if part == 0:
                            if len(category_query) == 0:
                                continue
                            first, end, own, factor = 0, num_memory, category_query[segment], one
                        else:
                            first, end, own = first_of_segments, num_queries, segment_query[segment]
                            factor = alpha * weight[segment]
                            if factor == 0:
                                continue
                            for k in range(len(first_row)):
                                q = num_queries - len(first_row) + k
                                is_outside[q] = (
                                    y < first_row[k] or y >= end_row[k] or x < first_column[k] or x >= end_column[k]
                                )
                                if is_outside[q]:
                                    at_pixel[q] = 0
                        positive = at_pixel[own]
                        # Eq. 7 decreases with the distance: the most similar other queries have the highest losses.
                        count = 0
                        for q in range(first, end):
                            value = at_pixel[q]
                            if q == own or (count == num_others and (count == 0 or value <= highest[0])):
                                continue
                            # In ascending order: the lowest one is replaced.
                            n = 0
                            if count < num_others:
                                n = count
                                count += 1
                                while n > 0 and highest[n - 1] > value:
                                    highest[n], place[n] = highest[n - 1], place[n - 1]
                                    n -= 1
                            else:
                                while n + 1 < count and highest[n + 1] < value:
                                    highest[n], place[n] = highest[n + 1], place[n + 1]
                                    n += 1
                            highest[n], place[n] = value, q
                        # Eq. 8; the sum of the logarithms is that of the product.
                        argument = 1 - (1 - positive + margin) * scale
                        loss, product = 0.0, 1.0 * max(argument, pole)
                        own_gradient = zero
                        if argument >= pole:
                            own_gradient = -factor * scale / argument
                        for n in range(count):
                            violation = highest[n] - positive + margin
                            if violation <= 0:
                                continue
                            argument = 1 - violation * scale
                            product *= max(argument, pole)
                            if product < 1e-200:
                                loss -= math.log(product)
                                product = 1.0
                            if argument < pole:
                                continue
                            gradient = factor * scale / argument
                            own_gradient -= gradient
                            q = place[n]
                            if not (part == 1 and is_outside[q]):
                                along += gradient * highest[n]
                                query_row[j, q] += (1 - fx) * inverse * gradient
                                query_row[j + 1, q] += fx * inverse * gradient
                        if not (part == 1 and is_outside[own]):
                            along += own_gradient * positive
                            query_row[j, own] += (1 - fx) * inverse * own_gradient
                            query_row[j + 1, own] += fx * inverse * own_gradient
                        loss -= math.log(product)
                        sums[block, part] += loss if part == 0 else loss * weight[segment]
                    if norm > EPS * one:
                        radial = -along * inverse * inverse
                        for d in range(dim):
                            norm_row[j, d] += (1 - fx) * radial * pixel[d]
                            norm_row[j + 1, d] += fx * radial * pixel[d]
            for j in range(width):
                for q in range(num_queries):
                    by_query[i, j, q] += (1 - fy) * query_row[j, q]
                    by_query[i + 1, j, q] += fy * query_row[j, q]
                for d in range(dim):
                    by_norm[i, j, d] += (1 - fy) * norm_row[j, d]
                    by_norm[i + 1, j, d] += fy * norm_row[j, d]
