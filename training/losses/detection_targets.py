# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Targets of the proposal head at each location: those of FCOS with the paper's change (Sec. IV-A)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.data.sample import CROWD, VOID
from training.data.target import Target
from training.losses.assignment import Locations, locations_of, positive_locations
from training.losses.detection_config import PAPER, DetectionLossConfig

BACKGROUND = -1


class DetectionTargets(NamedTuple):
    """Targets of B images at the L locations of all levels, P3 first, each level row by row."""

    classes: Tensor
    """Thing class (B, L) int64, or `BACKGROUND`."""
    distances: Tensor
    """Distances (B, L, 4) left, top, right, bottom in input pixels; undefined in the background."""
    counts: Tensor
    """Mask (B, L) bool of the locations that count; crowds do not, and with `ignore_void` void does not."""

    @property
    def positive(self) -> Tensor:
        """Mask (B, L) bool of the locations inside instances."""
        return self.classes >= 0

    @property
    def centerness(self) -> Tensor:
        """Centre-ness (B, L) in 0..1 (FCOS, Eq. 3)."""
        left, top, right, bottom = self.distances.unbind(dim=2)
        return (_ratio(left, right) * _ratio(top, bottom)).sqrt()


def detection_targets(
    target: Target,
    sizes: list[tuple[int, int]],
    num_stuff: int,
    config: DetectionLossConfig = PAPER,
) -> DetectionTargets:
    """Compute the targets: a location is positive only inside the mask of an instance (Sec. IV-A), whose box it
    predicts.

    Masks do not overlap, so instances are never ambiguous. Which locations inside a mask are positive depends on
    `config.assignment`; in the paper, as in FCOS, those of the level that matches the box.

    Args:
        target: annotation of the batch.
        sizes: heights and widths of P3 to P7.
        num_stuff: number of stuff classes S.
        config: the kind of assignment.
    """
    locations = locations_of(sizes, target.segments.device)
    segments = _sample(target.segments, locations)
    classes, distances = zip(
        *(
            _image_targets(row, locations, boxes, instance_classes, num_stuff, config)
            for row, boxes, instance_classes in zip(segments, target.boxes, target.classes, strict=True)
        ),
        strict=True,
    )
    counts = segments != CROWD
    if config.ignore_void:
        counts &= segments != VOID
    return DetectionTargets(torch.stack(classes), torch.stack(distances), counts)


def _sample(segments: Tensor, locations: Locations) -> Tensor:
    """Sample segments (B, L) int64; locations beyond the image, in coarse levels, are background."""
    height, width = segments.shape[1:]
    x, y = locations.x.long(), locations.y.long()
    sampled = segments[:, y.clamp(max=height - 1), x.clamp(max=width - 1)].long()
    return torch.where((y < height) & (x < width), sampled, BACKGROUND)


def _image_targets(
    segments: Tensor,
    locations: Locations,
    boxes: Tensor,
    classes: Tensor,
    num_stuff: int,
    config: DetectionLossConfig,
) -> tuple[Tensor, Tensor]:
    if not len(classes):
        return torch.full_like(segments, BACKGROUND), boxes.new_zeros(len(segments), 4)
    instance = segments - num_stuff
    is_thing = instance >= 0
    instance = instance.clamp(min=0)
    x1, y1, x2, y2 = boxes[instance].unbind(dim=1)
    distances = torch.stack((locations.x - x1, locations.y - y1, x2 - locations.x, y2 - locations.y), dim=1)
    positive = is_thing & positive_locations(locations, instance, distances, boxes, config)
    return torch.where(positive, classes[instance], BACKGROUND), distances


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.minimum(a, b) / torch.maximum(a, b).clamp(min=1e-6)
