# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What the losses need to know about an image, after its augmentation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.sample import VOID


@dataclass
class Target:
    """Annotation of B images padded to H x W; image b has n_b instances and S is the number of stuff classes."""

    segments: Tensor
    """(B, H, W) int16: a stuff class, or S + k for instance k of its image; `VOID` or `CROWD` below 0."""
    classes: list[Tensor]
    """(n_b,) int64 each: thing classes of the instances, from 0."""
    boxes: list[Tensor]
    """(n_b, 4) float32 each: x1, y1, x2, y2 of the instances' pixels; a pixel's left edge is x, its right one x + 1."""

    def to(self, device: torch.device) -> Target:
        """The same on a device."""
        return Target(
            segments=self.segments.to(device, non_blocking=True),
            classes=[classes.to(device, non_blocking=True) for classes in self.classes],
            boxes=[boxes.to(device, non_blocking=True) for boxes in self.boxes],
        )


def make_target(segments: Tensor, classes: Tensor, num_stuff: int) -> Target:
    """The target of one image (B = 1), without the instances that augmentation has left no pixel of.

    Args:
        segments: (H, W) int16, as in `Sample`.
        classes: (n,) of the instances before augmentation.
        num_stuff: S.
    """
    instance = segments.long() - num_stuff
    ys, xs = torch.nonzero(instance >= 0, as_tuple=True)
    present, instance_of_pixel = instance[ys, xs].unique(return_inverse=True)
    segments = segments.clone()
    segments[ys, xs] = (instance_of_pixel + num_stuff).to(segments.dtype)
    return Target(segments[None], [classes[present]], [_boxes(xs, ys, instance_of_pixel, len(present))])


def stack_targets(targets: list[Target], height: int, width: int) -> Target:
    """One target of many, padded on the right and at the bottom with void."""
    segments = targets[0].segments.new_full((len(targets), height, width), VOID)
    for row, target in zip(segments, targets, strict=True):
        row[: target.segments.shape[1], : target.segments.shape[2]] = target.segments[0]
    return Target(
        segments, [classes for target in targets for classes in target.classes], [b for t in targets for b in t.boxes]
    )


def _boxes(xs: Tensor, ys: Tensor, instance_of_pixel: Tensor, num_instances: int) -> Tensor:
    """(n, 4) from the pixels of the instances, each of which has at least one."""
    extremes = [
        values.new_zeros(num_instances).scatter_reduce_(0, instance_of_pixel, values, how, include_self=False)
        for values, how in ((xs, "amin"), (ys, "amin"), (xs + 1, "amax"), (ys + 1, "amax"))
    ]
    return torch.stack(extremes, dim=1).float()
