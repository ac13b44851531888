# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Targets of the proposal head at each location: those of FCOS with the paper's change (Sec. IV-A)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ciae_ros.model.proposal_head import PROPOSAL_STRIDES
from training.data.sample import CROWD
from training.data.target import Target

LEVEL_RANGES = ((0.0, 64.0), (64.0, 128.0), (128.0, 256.0), (256.0, 512.0), (512.0, float("inf")))
"""Range of each level: the longest distance from a location to a side of its box must be above the first and at most
the second number, in input pixels (FCOS)."""

BACKGROUND = -1


class DetectionTargets(NamedTuple):
    """Targets of B images at the L locations of all levels, P3 first, each level row by row."""

    classes: Tensor
    """Thing class (B, L) int64, or `BACKGROUND`."""
    distances: Tensor
    """Distances (B, L, 4) left, top, right, bottom in input pixels; undefined in the background."""
    counts: Tensor
    """Mask (B, L) bool of the locations that count; crowds do not."""

    @property
    def positive(self) -> Tensor:
        """Mask (B, L) bool of the locations inside instances."""
        return self.classes >= 0

    @property
    def centerness(self) -> Tensor:
        """Centre-ness (B, L) in 0..1 (FCOS, Eq. 3)."""
        left, top, right, bottom = self.distances.unbind(dim=2)
        return (_ratio(left, right) * _ratio(top, bottom)).sqrt()


def detection_targets(target: Target, sizes: list[tuple[int, int]], num_stuff: int) -> DetectionTargets:
    """Compute the targets: a location is positive only inside the mask of an instance (Sec. IV-A), whose box it
    predicts.

    Masks do not overlap, so instances are never ambiguous. The box determines the level, as in FCOS.

    Args:
        target: annotation of the batch.
        sizes: heights and widths of P3 to P7.
        num_stuff: number of stuff classes S.
    """
    levels = [
        _level_targets(target, size, stride, limits, num_stuff)
        for size, stride, limits in zip(sizes, PROPOSAL_STRIDES, LEVEL_RANGES, strict=True)
    ]
    return DetectionTargets(*(torch.cat(parts, dim=1) for parts in zip(*levels, strict=True)))


def _level_targets(
    target: Target, size: tuple[int, int], stride: int, limits: tuple[float, float], num_stuff: int
) -> tuple[Tensor, Tensor, Tensor]:
    ys, xs = (torch.arange(n, device=target.segments.device) * stride + stride // 2 for n in size)
    segments = _sample(target.segments, ys, xs)
    x, y = xs.repeat(len(ys)).float(), ys.repeat_interleave(len(xs)).float()
    classes, distances = zip(
        *(
            _image_targets(row, x, y, boxes, instance_classes, limits, num_stuff)
            for row, boxes, instance_classes in zip(segments, target.boxes, target.classes, strict=True)
        ),
        strict=True,
    )
    return torch.stack(classes), torch.stack(distances), segments != CROWD


def _sample(segments: Tensor, ys: Tensor, xs: Tensor) -> Tensor:
    """Sample segments (B, len(ys) * len(xs)) int64; locations beyond the image, in coarse levels, are background."""
    height, width = segments.shape[1:]
    sampled = segments[:, ys.clamp(max=height - 1)][:, :, xs.clamp(max=width - 1)].long()
    inside = (ys < height)[:, None] & (xs < width)
    return torch.where(inside, sampled, BACKGROUND).flatten(1)


def _image_targets(
    segments: Tensor, x: Tensor, y: Tensor, boxes: Tensor, classes: Tensor, limits: tuple[float, float], num_stuff: int
) -> tuple[Tensor, Tensor]:
    if not len(classes):
        return torch.full_like(segments, BACKGROUND), x.new_zeros(len(x), 4)
    instance = segments - num_stuff
    is_thing = instance >= 0
    instance = instance.clamp(min=0)
    x1, y1, x2, y2 = boxes[instance].unbind(dim=1)
    distances = torch.stack((x - x1, y - y1, x2 - x, y2 - y), dim=1)
    longest = distances.amax(dim=1)
    positive = is_thing & (longest > limits[0]) & (longest <= limits[1])
    return torch.where(positive, classes[instance], BACKGROUND), distances


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.minimum(a, b) / torch.maximum(a, b).clamp(min=1e-6)
