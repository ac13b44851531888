# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Fusion (Sec. IV-C): segments from network outputs and proposals, without a loop over segments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.core.categories import CategorySet
from ciae_ros.core.result import PanopticResult, Segment
from ciae_ros.inference.compiled import compiled, for_row_blocks
from ciae_ros.inference.fusion.assignment import assign_pixels
from ciae_ros.inference.fusion.sampling_grid import sampling_grid
from ciae_ros.inference.fusion.segment_statistics import SegmentStatistics, segment_statistics
from ciae_ros.inference.fusion.semantic_assignment import assign_by_semantics
from ciae_ros.inference.fusion.triton_support import runs_triton
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.proposals.selection import Proposals
from ciae_ros.model.category_memory import CategoryMemory
from ciae_ros.model.config import ModelConfig


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

    def table(self) -> Tensor:
        """Return all fields but the map as (Q, 10) float64, which represents them exactly, for a single copy."""
        columns = self.segment_id, self.category, self.score, self.statistics.area
        scalars = torch.stack([column.double() for column in columns], dim=1)
        return torch.cat((scalars, self.statistics.box.double(), self.statistics.centroid), dim=1)

    def to_result(self, categories: CategorySet) -> PanopticResult:
        """Copy the map and the segments to the host. Synchronises with the device.

        Raises:
            NotFiniteError: the network's output was not finite.
        """
        label_map = self.label_map.cpu().numpy().view(np.uint16)
        return result_from_table(label_map, self.table().cpu().numpy(), categories)


TABLE_COLUMNS = 10
"""Number of columns of `FusedImage.table`."""


def result_from_table(label_map: np.ndarray, table: np.ndarray, categories: CategorySet) -> PanopticResult:
    """Build the panoptic result from a table of segments.

    Args:
        label_map: (H, W) uint16; becomes part of the result without a copy.
        table: from `FusedImage.table`; additional rows of zeros are ignored.
        categories: categories of the model.

    Raises:
        NotFiniteError: the network's output was not finite.
    """
    if np.isnan(table[:, 2]).any():
        raise NotFiniteError
    rows = table[np.flatnonzero(table[:, 0])]
    integers = rows.astype(np.int64)
    segments = (
        Segment(
            id=identity,
            category=categories.categories[category],
            score=score,
            area=area,
            box=tuple(box),
            centroid=tuple(centroid),
        )
        for identity, category, area, box, score, centroid in zip(
            *integers[:, [0, 1, 3]].T.tolist(),
            integers[:, 4:8].tolist(),
            rows[:, 2].tolist(),
            rows[:, 8:].tolist(),
            strict=True,
        )
    )
    return PanopticResult(label_map, tuple(segments))


@dataclass(frozen=True)
class Instances:
    """K instances of one image before the assignment of pixels."""

    queries: Tensor
    """(K, D) of any norm."""
    boxes: Tensor
    """(K, 4) x1, y1, x2, y2 in pixels of the network's input: an instance is eligible only inside its box."""
    classes: Tensor
    """(K,) int64 index among the thing classes."""
    scores: Tensor
    """(K,) float32, 0 to 1."""


def fuse(
    embedding: Tensor,
    proposals: Proposals,
    memory: CategoryMemory,
    config: ModelConfig,
    min_stuff_area: float | Tensor,
    geometry: ImageGeometry,
    semantic_logits: Tensor | None = None,
) -> FusedImage:
    """Assign every pixel to a proposed instance or a stuff class and drop small stuff segments.

    Args:
        embedding: (D, h, w) map of the image at stride 4.
        proposals: proposals of the image after non-maximum suppression.
        memory: its stuff vectors are the queries of the stuff classes.
        config: determines how an instance gets its category (Table IV).
        min_stuff_area: stuff segments of fewer pixels of the result become unlabelled; a number or a tensor ().
        geometry: geometry of the image.
        semantic_logits: (S + 1, h, w) of models with a semantic branch (Table III).
    """
    queries, classes = proposals.queries, proposals.classes
    if config.instance_category == "embedding":
        classes = (queries.float() @ memory.things.float().T).argmax(dim=1)
    instances = Instances(queries, proposals.boxes, classes, proposals.scores)
    return fuse_instances(embedding, instances, memory.stuff, min_stuff_area, geometry, semantic_logits)


def fuse_instances(
    embedding: Tensor,
    instances: Instances,
    stuff_queries: Tensor,
    min_stuff_area: float | Tensor,
    geometry: ImageGeometry,
    semantic_logits: Tensor | None = None,
) -> FusedImage:
    """Fuse instances with given queries and classes; see `fuse`.

    Args:
        embedding: (D, h, w) map of the image at stride 4.
        instances: instances of the image.
        stuff_queries: (S, D) of any norm.
        min_stuff_area: stuff segments of fewer pixels of the result become unlabelled; a number or a tensor ().
        geometry: geometry of the image.
        semantic_logits: (S + 1, h, w) of models with a semantic branch (Table III).

    Raises:
        NotFiniteError: the map or the logits are not finite; on a CUDA device this is raised when the result is read.
    """
    zero = _zero_if_finite(embedding, semantic_logits)
    if zero.device.type == "cpu" and zero.isnan():
        raise NotFiniteError
    num_stuff = len(stuff_queries)
    if semantic_logits is None and runs_triton(embedding.device):
        winners, statistics = _assign_with_triton(embedding, instances, stuff_queries, geometry)
    else:
        if semantic_logits is None:
            winners = assign_pixels(embedding, stuff_queries, instances.queries, instances.boxes, geometry)
        else:
            winners = assign_by_semantics(embedding, semantic_logits, instances.queries, instances.boxes, geometry)
        statistics = segment_statistics(winners, num_stuff + len(instances.queries))
    is_segment = statistics.area > 0
    is_segment[:num_stuff] &= statistics.area[:num_stuff] >= min_stuff_area
    segment_id = is_segment.cumsum(dim=0) * is_segment
    return FusedImage(
        label_map=_look_up(segment_id.to(torch.int16), winners),
        segment_id=segment_id,
        category=torch.cat((torch.arange(num_stuff, device=winners.device), instances.classes + num_stuff)),
        score=torch.cat((instances.scores.new_ones(num_stuff), instances.scores)) + zero,
        statistics=statistics,
    )


def _zero_if_finite(*maps: Tensor | None) -> Tensor:
    """Return () float32: 0, or NaN if any of the maps contains an infinity or NaN."""
    return 0 * torch.stack([each.sum(dtype=torch.float32) for each in maps if each is not None]).sum()


def _assign_with_triton(
    embedding: Tensor, instances: Instances, stuff_queries: Tensor, geometry: ImageGeometry
) -> tuple[Tensor, SegmentStatistics]:
    # Imported here because Triton is optional.
    from ciae_ros.inference.fusion.triton_assignment import assign_and_measure  # noqa: PLC0415

    queries = F.normalize(torch.cat((stuff_queries.float(), instances.queries.float())), dim=1)
    return assign_and_measure(embedding, queries, instances.boxes.float(), sampling_grid(geometry, embedding))


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return table[index] for a small table (Q,) and a map (H, W), both int16."""
    if runs_triton(index.device):
        from ciae_ros.inference.fusion.triton_lookup import look_up  # noqa: PLC0415

        return look_up(table, index)
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
