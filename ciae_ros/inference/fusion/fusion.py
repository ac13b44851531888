# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Fusion (Sec. IV-C): segments from network outputs and proposals, without a loop over segments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ciae_ros.inference.fusion.assignment import assign_pixels
from ciae_ros.inference.fusion.confidence import confidence, margins
from ciae_ros.inference.fusion.fused_image import FusedImage, NotFiniteError, look_up, zero_if_finite
from ciae_ros.inference.fusion.sampling_grid import sampling_grid
from ciae_ros.inference.fusion.segment_statistics import SegmentStatistics, segment_statistics
from ciae_ros.inference.fusion.semantic_assignment import assign_by_semantics
from ciae_ros.inference.fusion.triton_support import runs_triton
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.proposals.selection import Proposals
from ciae_ros.inference.settings import DeviceSettings, InferenceSettings
from ciae_ros.model.category_memory import CategoryMemory
from ciae_ros.model.config import ModelConfig


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
    settings: InferenceSettings | DeviceSettings | None = None,
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
        settings: have the function that turns margins into confidence; None for the default.
    """
    queries, classes = proposals.queries, proposals.classes
    if config.instance_category == "embedding":
        classes = (queries.float() @ memory.things.float().T).argmax(dim=1)
    instances = Instances(queries, proposals.boxes, classes, proposals.scores)
    return fuse_instances(embedding, instances, memory.stuff, min_stuff_area, geometry, semantic_logits, settings)


def fuse_instances(
    embedding: Tensor,
    instances: Instances,
    stuff_queries: Tensor,
    min_stuff_area: float | Tensor,
    geometry: ImageGeometry,
    semantic_logits: Tensor | None = None,
    settings: InferenceSettings | DeviceSettings | None = None,
) -> FusedImage:
    """Fuse instances with given queries and classes; see `fuse`.

    Args:
        embedding: (D, h, w) map of the image at stride 4.
        instances: instances of the image.
        stuff_queries: (S, D) of any norm.
        min_stuff_area: stuff segments of fewer pixels of the result become unlabelled; a number or a tensor ().
        geometry: geometry of the image.
        semantic_logits: (S + 1, h, w) of models with a semantic branch (Table III).
        settings: have the function that turns margins into confidence; None for the default.

    Raises:
        NotFiniteError: the map or the logits are not finite; on a CUDA device this is raised when the result is read.
    """
    zero = zero_if_finite(embedding, semantic_logits)
    if zero.device.type == "cpu" and zero.isnan():
        raise NotFiniteError
    num_stuff = len(stuff_queries)
    queries = F.normalize(torch.cat((stuff_queries.float(), instances.queries.float())), dim=1)
    if semantic_logits is None and runs_triton(embedding.device):
        winners, statistics = _assign_with_triton(embedding, queries, instances.boxes, geometry)
    else:
        if semantic_logits is None:
            winners = assign_pixels(embedding, stuff_queries, instances.queries, instances.boxes, geometry)
        else:
            winners = assign_by_semantics(embedding, semantic_logits, instances.queries, instances.boxes, geometry)
        statistics = segment_statistics(winners, len(queries))
    category = torch.cat((torch.arange(num_stuff, device=winners.device), instances.classes + num_stuff))
    stuff_score = instances.scores.new_ones(num_stuff)
    at_samples = torch.empty(0, 0, dtype=torch.uint8, device=winners.device)
    if semantic_logits is None:
        found = margins(embedding, queries, category, instances.boxes)
        at_samples, of_query = confidence(found, len(queries), settings or InferenceSettings(), geometry)
        stuff_score = of_query[:num_stuff]
    is_segment = statistics.area > 0
    is_segment[:num_stuff] &= statistics.area[:num_stuff] >= min_stuff_area
    segment_id = is_segment.cumsum(dim=0) * is_segment
    return FusedImage(
        label_map=look_up(segment_id.to(torch.int16), winners),
        segment_id=segment_id,
        category=category,
        score=torch.cat((stuff_score, instances.scores)) + zero,
        statistics=statistics,
        queries=queries,
        confidence=at_samples,
    )


def _assign_with_triton(
    embedding: Tensor, queries: Tensor, boxes: Tensor, geometry: ImageGeometry
) -> tuple[Tensor, SegmentStatistics]:
    # Imported here because Triton is optional.
    from ciae_ros.inference.fusion.triton_assignment import assign_and_measure  # noqa: PLC0415

    return assign_and_measure(embedding, queries, boxes.float(), sampling_grid(geometry, embedding))
