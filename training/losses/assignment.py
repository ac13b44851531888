# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Assignment of locations to the instance whose mask contains them: which of them are positive."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ciae_ros.model.strides import PROPOSAL_STRIDES
from training.losses.detection_config import DetectionLossConfig

LEVEL_RANGES = ((0.0, 64.0), (64.0, 128.0), (128.0, 256.0), (256.0, 512.0), (512.0, float("inf")))
"""Range of each level: the longest distance from a location to a side of its box must be above the first and at most
the second number, in input pixels (FCOS)."""

ANCHOR_STRIDES = 8
"""Side of ATSS's square anchor of a location, in strides of its level."""


class Locations(NamedTuple):
    """The L locations of all levels, P3 first, each level row by row."""

    x: Tensor
    """(L,) float32 in input pixels."""
    y: Tensor
    stride: Tensor
    """(L,) float32 of the location's level, in input pixels."""
    low: Tensor
    """(L,) float32, the first number of the level's range, in input pixels."""
    high: Tensor
    """(L,) float32, the second."""
    sizes: list[tuple[int, int]]
    """Height and width of each level."""


def locations_of(sizes: list[tuple[int, int]], device: torch.device) -> Locations:
    """Return the locations of levels P3 to P7 with these heights and widths."""
    parts = []
    for (height, width), stride, (low, high) in zip(sizes, PROPOSAL_STRIDES, LEVEL_RANGES, strict=True):
        ys, xs = (torch.arange(n, device=device) * stride + stride // 2 for n in (height, width))
        x, y = xs.repeat(height).float(), ys.repeat_interleave(width).float()
        # Filled on the device: a copy of a table to it would wait for the device.
        parts.append((x, y, *(torch.full_like(x, value) for value in (stride, low, high))))
    x, y, strides, lows, highs = (torch.cat(part) for part in zip(*parts, strict=True))
    return Locations(x, y, strides, lows, highs, sizes)


def positive_locations(
    locations: Locations, instance: Tensor, distances: Tensor, boxes: Tensor, config: DetectionLossConfig
) -> Tensor:
    """Return which locations are positive, as (L,) bool, provided that the mask of their instance contains them.

    Args:
        locations: the locations.
        instance: (L,) int64 index of the instance of each location.
        distances: (L, 4) float32 left, top, right, bottom from each location to the box of its instance.
        boxes: (n, 4) float32 x1, y1, x2, y2 of the instances, of which there is at least one.
        config: the kind of assignment.
    """
    if config.assignment == "atss":
        return _fits_best(locations, instance, boxes, config.atss_candidates)
    longest = distances.amax(dim=1)
    positive = (longest > locations.low) & (longest <= locations.high)
    if config.assignment == "center":
        positive &= _offset_from_center(distances) < config.center_radius * locations.stride
    return positive


def _offset_from_center(distances: Tensor) -> Tensor:
    """Return the longer of the horizontal and the vertical distance (L,) to the centre of the box."""
    left, top, right, bottom = distances.unbind(dim=1)
    return torch.maximum((right - left).abs(), (bottom - top).abs()) / 2


def _fits_best(locations: Locations, instance: Tensor, boxes: Tensor, num_candidates: int) -> Tensor:
    """Return the positive locations of ATSS (Algorithm 1), of which the caller keeps those inside the mask.

    The threshold of an instance is the mean plus the standard deviation of the IoU of its box with the anchors of its
    candidates: on each level, the locations nearest to the centre of the box. Masks take the place of the rule that the
    location must be inside the box, and of the choice between instances.
    """
    candidates = _candidates(locations, boxes, num_candidates)
    ious = _anchor_ious(locations, boxes, candidates)
    thresholds = ious.mean(dim=1) + ious.std(dim=1)
    chosen = ious >= thresholds[:, None]
    positive = torch.zeros(len(boxes), len(locations.x), dtype=torch.bool, device=boxes.device)
    positive.scatter_(1, candidates, chosen)
    return positive[instance, torch.arange(len(instance), device=instance.device)]


def _candidates(locations: Locations, boxes: Tensor, num_candidates: int) -> Tensor:
    """Return the locations (n, K) of each level that are nearest to the centres of the boxes."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    nearest, begin = [], 0
    for height, width in locations.sizes:
        end = begin + height * width
        x, y = locations.x[begin:end], locations.y[begin:end]
        squared = (x - centers[:, :1]) ** 2 + (y - centers[:, 1:]) ** 2
        count = min(num_candidates, height * width)
        nearest.append(squared.topk(count, dim=1, largest=False).indices + begin)
        begin = end
    return torch.cat(nearest, dim=1)


def _anchor_ious(locations: Locations, boxes: Tensor, candidates: Tensor) -> Tensor:
    """Return the IoU (n, K) of each box with the anchors of its candidates."""
    half = locations.stride[candidates] * (ANCHOR_STRIDES / 2)
    x, y = locations.x[candidates], locations.y[candidates]
    x1, y1, x2, y2 = boxes[:, :, None].unbind(dim=1)
    width = (torch.minimum(x + half, x2) - torch.maximum(x - half, x1)).clamp(min=0)
    height = (torch.minimum(y + half, y2) - torch.maximum(y - half, y1)).clamp(min=0)
    intersection = width * height
    return intersection / ((2 * half) ** 2 + (x2 - x1) * (y2 - y1) - intersection)
