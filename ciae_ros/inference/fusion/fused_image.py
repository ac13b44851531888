# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A panoptic result on the device, and its conversion to a result on the host."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from ciae_ros.core.categories import CategorySet
from ciae_ros.core.compiled import compiled
from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.inference.fusion.segment_statistics import SegmentStatistics
from ciae_ros.inference.fusion.triton_support import runs_triton
from ciae_ros.inference.row_blocks import for_row_blocks


class NotFiniteError(ValueError):
    """The network's output contains infinities or NaN, with which the assignment would be meaningless."""

    def __init__(self) -> None:
        super().__init__(
            "the network's output is not finite: either its activations overflow in fp16 (set precision to bf16 or "
            "fp32), or its weights are corrupt"
        )


@dataclass(frozen=True)
class FusedImage:
    """A panoptic result on the device, with an entry for each of Q queries whether it won a pixel or not."""

    label_map: Tensor
    """(H, W) int16 segment ids at the original size; 0 is unlabelled."""
    segment_id: Tensor
    """(Q,) int64: the id of the query's segment, or 0 if it has none. The ids are dense from 1."""
    category: Tensor
    """(Q,) int64 index into the model's `CategorySet`."""
    score: Tensor
    """(Q,) float32; all NaN if the network's output was not finite."""
    statistics: SegmentStatistics
    queries: Tensor
    """(Q, D) float32 of unit length; D is 0 if the network has no pixel embeddings."""
    confidence: Tensor
    """(h, w) uint8 probability that the category is right, 255 for 1, of a map that is as large as the image when it is
    enlarged; (0, 0) if it is not known."""

    def table(self) -> Tensor:
        """Return all fields but the map as (Q, 10 + D) float64, which represents them exactly, for a single copy."""
        columns = self.segment_id, self.category, self.score, self.statistics.area
        scalars = torch.stack([column.double() for column in columns], dim=1)
        return torch.cat(
            (scalars, self.statistics.box.double(), self.statistics.centroid, self.queries.double()), dim=1
        )

    def to_result(self, categories: CategorySet) -> PanopticResult:
        """Copy the map and the segments to the host. Synchronises with the device.

        Raises:
            NotFiniteError: the network's output was not finite.
        """
        label_map = self.label_map.cpu().numpy().view(np.uint16)
        return result_from_table(label_map, self.table().cpu().numpy(), categories, self.confidence.cpu().numpy())


TABLE_COLUMNS = 10
"""Number of columns of `FusedImage.table` before the queries."""


def result_from_table(
    label_map: np.ndarray, table: np.ndarray, categories: CategorySet, confidence: np.ndarray
) -> PanopticResult:
    """Build the panoptic result from a table of segments.

    Args:
        label_map: (H, W) uint16; becomes part of the result without a copy.
        table: from `FusedImage.table`; additional rows of zeros are ignored.
        categories: categories of the model.
        confidence: `FusedImage.confidence`.

    Raises:
        NotFiniteError: the network's output was not finite.
    """
    if np.isnan(table[:, 2]).any():
        raise NotFiniteError
    rows = table[np.flatnonzero(table[:, 0])]
    integers = rows[:, :TABLE_COLUMNS].astype(np.int64)
    queries: Iterable[np.ndarray | None] = rows[:, TABLE_COLUMNS:].astype(np.float32)
    if rows.shape[1] == TABLE_COLUMNS:
        queries = repeat(None, len(rows))
    segments = (
        Segment(
            id=identity,
            category=categories.categories[category],
            score=score,
            area=area,
            box=tuple(box),
            centroid=tuple(centroid),
            query=query,
        )
        for identity, category, area, box, score, centroid, query in zip(
            *integers[:, [0, 1, 3]].T.tolist(),
            integers[:, 4:8].tolist(),
            rows[:, 2].tolist(),
            rows[:, 8:TABLE_COLUMNS].tolist(),
            queries,
            strict=True,
        )
    )
    return PanopticResult(label_map, tuple(segments), confidence if confidence.size else None)


def zero_if_finite(*maps: Tensor | None) -> Tensor:
    """Return () float32: 0, or NaN if any of the maps contains an infinity or NaN."""
    return 0 * torch.stack([each.sum(dtype=torch.float32) for each in maps if each is not None]).sum()


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return table[index] for a small table (Q,) and a map (H, W), both int16."""
    if runs_triton(index.device):
        from ciae_ros.inference.fusion.triton_lookup import look_up as look_up_on_device  # noqa: PLC0415

        return look_up_on_device(table, index)
    if index.device.type != "cpu":
        return table[index.long()]
    values = np.empty(index.shape, np.int16)
    for_row_blocks(_look_up_rows, len(values), table.numpy(), index.numpy(), values)
    return torch.from_numpy(values)


@compiled
def _look_up_rows(block: int, top: int, bottom: int, table: np.ndarray, index: np.ndarray, values: np.ndarray) -> None:
    for y in range(top, bottom):
        for x in range(index.shape[1]):
            values[y, x] = table[index[y, x]]
