# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Segments from the class and mask of each query, as Mask2Former and EoMT define them, without a loop over segments.

A query is kept if its most probable class is a category and exceeds a threshold. Each pixel goes to one of the kept
queries (`mask_assignment`). A query whose mask overlaps too much with those of others is dropped, and its pixels become
unlabelled. The queries of a stuff category become one segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference.fusion.fused_image import FusedImage, NotFiniteError, look_up, zero_if_finite
from ciae_ros.inference.fusion.mask_assignment import MaskAssignment, assign_masks_by_cells, assign_masks_by_rows
from ciae_ros.inference.fusion.sampling_grid import sampling_grid
from ciae_ros.inference.fusion.segment_statistics import SegmentStatistics, segment_statistics
from ciae_ros.inference.fusion.triton_support import runs_triton
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.settings import DeviceSettings, InferenceSettings


@dataclass(frozen=True)
class ClassCategories:
    """The categories of the C classes of a network."""

    category: Tensor
    """(C + 1,) int64 index into the model's `CategorySet`; -1 for classes without a category, and, as the last one, for
    "no object"."""
    num_stuff: int
    """Number of stuff categories, whose indices are lower than those of things."""


class _Queries(NamedTuple):
    """Q queries of an image."""

    score: Tensor
    """(Q,) float32 probability of the class; 0 if the query is not kept."""
    category: Tensor
    """(Q,) int64 index into the model's `CategorySet`; -1 for none."""


def merge_masks(
    class_logits: Tensor,
    mask_logits: Tensor,
    class_categories: ClassCategories,
    settings: InferenceSettings | DeviceSettings,
    min_stuff_area: float | Tensor,
    geometry: ImageGeometry,
) -> FusedImage:
    """Merge the masks of an image.

    Where Triton runs, all shapes are those of the arguments, and nothing synchronises.

    Args:
        class_logits: (Q, C + 1) of any float type, the last one for "no object".
        mask_logits: (Q, h, w) of any float type, a map of the padded image; h and w at least 2.
        class_categories: categories of the classes.
        settings: thresholds.
        min_stuff_area: stuff segments of fewer pixels of the result become unlabelled; a number or a tensor ().
        geometry: geometry of the image.

    Raises:
        NotFiniteError: the logits are not finite; where Triton runs this is raised when the result is read.
    """
    zero = zero_if_finite(class_logits, mask_logits)
    queries = _select(class_logits, class_categories, settings)
    if not runs_triton(zero.device):
        if zero.isnan():
            raise NotFiniteError
        kept = queries.score.nonzero()[:, 0]
        mask_logits, queries = mask_logits[kept], _Queries(*(each[kept] for each in queries))
    assignment, statistics = _assign(mask_logits.float(), queries.score, settings.mask_threshold, geometry)
    is_valid = _survives_overlaps(assignment, statistics, settings.overlap_threshold)
    segment = _segment_of_query(queries.category, is_valid, class_categories.num_stuff)
    merged = _merge_statistics(statistics, segment, is_valid)
    is_segment = is_valid & (segment == torch.arange(len(segment), device=segment.device))
    is_segment &= (queries.category >= class_categories.num_stuff) | (merged.area >= min_stuff_area)
    segment_id = is_segment.cumsum(dim=0) * is_segment
    return FusedImage(
        label_map=look_up(F.pad((segment_id[segment] * is_valid).to(torch.int16), (0, 1)), assignment.winners),
        segment_id=segment_id,
        category=queries.category,
        score=queries.score + zero,
        statistics=merged,
        queries=queries.score.new_empty(len(queries.score), 0),
        confidence=torch.empty(0, 0, dtype=torch.uint8, device=zero.device),
    )


def _select(
    class_logits: Tensor, class_categories: ClassCategories, settings: InferenceSettings | DeviceSettings
) -> _Queries:
    """Keep the queries whose class is a category and exceeds the threshold, and at most `max_instances` things."""
    probability, label = class_logits.float().softmax(dim=1).max(dim=1)
    category = class_categories.category[label]
    is_kept = (category >= 0) & (probability > settings.score_threshold)
    thing_score = probability * (is_kept & (category >= class_categories.num_stuff))
    # The rank of a thing is the number of things with a higher score; the earlier one is higher among equal scores.
    is_earlier = torch.ones(2 * thing_score.shape, dtype=torch.bool, device=thing_score.device).tril(-1)
    is_higher = (thing_score[:, None] < thing_score) | ((thing_score[:, None] == thing_score) & is_earlier)
    is_kept &= (thing_score == 0) | (is_higher.sum(dim=1) < settings.max_instances)
    return _Queries(probability * is_kept, category)


def _assign(
    mask_logits: Tensor, scores: Tensor, mask_threshold: float | Tensor, geometry: ImageGeometry
) -> tuple[MaskAssignment, SegmentStatistics]:
    """Return the assignment of the pixels and the statistics of the queries' pixels."""
    grid = sampling_grid(geometry, mask_logits)
    if runs_triton(mask_logits.device):
        # Imported here because Triton is optional.
        from ciae_ros.inference.fusion.triton_mask_assignment import assign_and_measure_masks  # noqa: PLC0415

        return assign_and_measure_masks(mask_logits, scores, mask_threshold, grid)
    if mask_logits.device.type == "cpu":
        assignment = assign_masks_by_cells(mask_logits, scores, float(mask_threshold), grid)
    else:
        assignment = assign_masks_by_rows(mask_logits, scores, mask_threshold, grid)
    statistics = segment_statistics(assignment.winners, len(scores) + 1)
    return assignment, SegmentStatistics(*(each[:-1] for each in statistics))


def _survives_overlaps(
    assignment: MaskAssignment, statistics: SegmentStatistics, overlap_threshold: float | Tensor
) -> Tensor:
    """Return (Q,) bool: whether the query has pixels, and others leave enough of its mask to it."""
    share = assignment.won_area / assignment.mask_area
    return (statistics.area > 0) & (share > overlap_threshold)


def _segment_of_query(category: Tensor, is_valid: Tensor, num_stuff: int) -> Tensor:
    """Return (Q,) int64: the first valid query with the same category for stuff, and the query itself for a thing."""
    index = torch.arange(len(category), device=category.device)
    is_stuff = is_valid & (category < num_stuff)
    belongs = is_stuff[:, None] & is_stuff & (category[:, None] == category)
    # In each row, the first query of the same category; rows without any keep their own index.
    first = torch.where(belongs, index, len(index)).amin(dim=1) if len(index) else index
    return torch.where(is_stuff, first, index)


def _merge_statistics(statistics: SegmentStatistics, segment: Tensor, is_valid: Tensor) -> SegmentStatistics:
    """Add up the statistics of the valid queries of each segment, at the place of the segment's first query."""
    area = statistics.area * is_valid
    merged_area = torch.zeros_like(area).index_add_(0, segment, area)
    # Where there are no pixels, centroids are undefined and must not be added.
    sums = torch.where(area[:, None] > 0, statistics.centroid * area[:, None], 0.0)
    centroid = torch.zeros_like(sums).index_add_(0, segment, sums) / merged_area[:, None]
    first, size = statistics.box.split(2, dim=1)
    places, far = segment[:, None].expand(-1, 2), torch.iinfo(torch.int32).max
    has_pixels = area[:, None] > 0
    low = torch.full_like(first, far).scatter_reduce_(0, places, torch.where(has_pixels, first, far), "amin")
    high = torch.zeros_like(first).scatter_reduce_(0, places, torch.where(has_pixels, first + size, 0), "amax")
    return SegmentStatistics(merged_area, torch.cat((low, high - low), dim=1), centroid)
