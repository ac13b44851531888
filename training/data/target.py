# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Training target of augmented images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.sample import VOID


@dataclass
class Target:
    """Annotation of B images padded to H x W; image b has n_b instances, and S is the number of stuff classes."""

    segments: Tensor
    """Segments (B, H, W) int16: a stuff class, S + k for instance k of the image, `VOID` or `CROWD`."""
    classes: list[Tensor]
    """Thing classes of the instances (n_b,) int64 of each image, from 0."""
    boxes: list[Tensor]
    """Boxes (n_b, 4) float32 of each image: x1, y1, x2, y2, where a pixel extends from x to x + 1."""

    def to(self, device: torch.device) -> Target:
        """Return the target on a device."""
        return Target(
            segments=self.segments.to(device, non_blocking=True),
            classes=[classes.to(device, non_blocking=True) for classes in self.classes],
            boxes=[boxes.to(device, non_blocking=True) for boxes in self.boxes],
        )


def make_target(segments: Tensor, classes: Tensor, num_stuff: int) -> Target:
    """Create the target of an image (B = 1), without instances that have no pixels after augmentation.

    Args:
        segments: segments (H, W) int16, as in `Sample`.
        classes: classes (n,) of the instances before augmentation.
        num_stuff: number of stuff classes S.
    """
    instance = segments.long() - num_stuff
    ys, xs = torch.nonzero(instance >= 0, as_tuple=True)
    present, instance_of_pixel = instance[ys, xs].unique(return_inverse=True)
    segments = segments.clone()
    segments[ys, xs] = (instance_of_pixel + num_stuff).to(segments.dtype)
    return Target(segments[None], [classes[present]], [_boxes(xs, ys, instance_of_pixel, len(present))])


def stack_targets(targets: list[Target], height: int, width: int) -> Target:
    """Combine targets, padded with void on the right and at the bottom."""
    segments = targets[0].segments.new_full((len(targets), height, width), VOID)
    for row, target in zip(segments, targets, strict=True):
        row[: target.segments.shape[1], : target.segments.shape[2]] = target.segments[0]
    return Target(
        segments, [classes for target in targets for classes in target.classes], [b for t in targets for b in t.boxes]
    )


def _boxes(xs: Tensor, ys: Tensor, instance_of_pixel: Tensor, num_instances: int) -> Tensor:
    """Return the boxes (n, 4) of instances from their pixels; each has at least one."""
    extremes = [
        values.new_zeros(num_instances).scatter_reduce_(0, instance_of_pixel, values, how, include_self=False)
        for values, how in ((xs, "amin"), (ys, "amin"), (xs + 1, "amax"), (ys + 1, "amax"))
    ]
    return torch.stack(extremes, dim=1).float()
