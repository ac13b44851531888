# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The constants of the CIAE loss, and the queries with which it compares the pixels of an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ciae_ros.inference.geometry import EMBEDDING_STRIDE
from ciae_ros.model import ModelConfig


@dataclass(frozen=True)
class EmbeddingLossConfig:
    """Constants of the loss; the defaults are those of the paper.

    Raises:
        ValueError: a value is out of range.
    """

    margin: float = 0.15
    """Margin of Eq. 7, as a cosine distance (Table IX)."""
    top_k: int = 5
    """K of Eq. 9: number of queries per pixel with the highest losses."""
    alpha: float = 2.0
    """Weight of L_IAE in Eq. 12."""
    thing_weight: float = 5.0
    """Weight of thing pixels in L_IAE (Sec. III-B)."""
    box_expansion: float | None = 1.5
    """Factor on the ground-truth boxes outside of which an instance's similarity is 0; None: no filter (Table VIII)."""
    pixel_stride: int = 1
    """1: all pixels, as in the paper; 2 or 4: every second or fourth row and column, for training on a CPU."""

    def __post_init__(self) -> None:
        if not 0 <= self.margin < 2:
            raise ValueError(f"margin must be in 0..2, not {self.margin}")
        if self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if self.box_expansion is not None and self.box_expansion < 1:
            raise ValueError(
                f"box_expansion must be at least 1, not {self.box_expansion}: a box would exclude its own pixels"
            )
        if self.pixel_stride not in (1, 2, EMBEDDING_STRIDE):
            raise ValueError(f"pixel_stride must be 1, 2 or {EMBEDDING_STRIDE}, not {self.pixel_stride}")


class ImageQueries:
    """Annotation of an image as indices of queries.

    The queries are the things of the memory, its stuff, and the instances, in this order, so that both M_c and M_s are
    slices.
    """

    def __init__(
        self,
        segments: Tensor,
        boxes: Tensor,
        classes: Tensor,
        memory: Tensor,
        model: ModelConfig,
        config: EmbeddingLossConfig,
    ) -> None:
        self.config = config
        self.shape = segments.shape
        self.segments = segments.flatten()
        self.classes = classes
        self.num_stuff = model.num_stuff_classes
        self.num_segments = self.num_stuff + len(classes)
        things = memory[self.num_stuff :]
        self.merged_things = model.memory_of_things == "merged"
        self.memory = torch.cat((things, memory[: self.num_stuff]))
        self.num_memory_things = len(things)
        self.with_categories = len(things) > 0 and not model.semantic_branch
        self.with_stuff = not model.semantic_branch
        self.boxes = _expanded(boxes, config.box_expansion)

    def category_query(self, segments: Tensor) -> Tensor:
        """Return the index of each pixel's own query in M_c; arbitrary for void."""
        segments = segments.clamp(min=0)
        if self.merged_things or not len(self.classes):
            thing_query = torch.zeros_like(segments)
        else:
            thing_query = self.classes[(segments - self.num_stuff).clamp(min=0)]
        return torch.where(segments < self.num_stuff, segments + self.num_memory_things, thing_query)

    def outside(self, chunk: slice) -> Tensor:
        """Return whether each pixel is outside each instance's expanded box, as (n, pixels) bool."""
        stride = self.config.pixel_stride
        index = torch.arange(chunk.start, chunk.stop, device=self.segments.device)
        x = (index % self.shape[1]) * stride + stride // 2 + 0.5
        y = (index // self.shape[1]) * stride + stride // 2 + 0.5
        x1, y1, x2, y2 = self.boxes.T[:, :, None]
        return (x < x1) | (x > x2) | (y < y1) | (y > y2)

    def category_sums(self, sums: Tensor) -> Tensor:
        """Add sums of segments (num_segments, D) to sums of categories, in the order of the memory."""
        things = sums.new_zeros(self.num_memory_things, sums.shape[1])
        if self.num_memory_things:
            row = torch.zeros_like(self.classes) if self.merged_things else self.classes
            things.index_add_(0, row, sums[self.num_stuff :])
        return torch.cat((sums[: self.num_stuff], things))


def _expanded(boxes: Tensor, factor: float | None) -> Tensor:
    """Scale boxes (n, 4) by a factor around their centres."""
    if factor is None:
        return boxes
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * factor
    return torch.cat((center - size / 2, center + size / 2), dim=1)
