# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Losses of the proposal head, as in FCOS (Eq. 15)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from ciae_ros.model import RawOutputs
from training.data.target import Target
from training.distributed import mean_over_ranks
from training.losses.detection_targets import DetectionTargets, detection_targets

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
"""Parameters of the focal loss, as in RetinaNet."""


def detection_losses(
    outputs: RawOutputs, target: Target, num_stuff: int, class_agnostic: bool = False
) -> dict[str, Tensor]:
    """Compute L_class, L_reg and L_centerness.

    The focal and centre-ness losses are divided by the number of positive locations, and the IoU loss, which is
    weighted by centre-ness, by the sum of the weights; both divisors are means over all ranks.

    Args:
        outputs: outputs of the network.
        target: annotation of the batch.
        num_stuff: number of stuff classes S.
        class_agnostic: whether the detector has a single class (Table IV).
    """
    targets = detection_targets(target, [(m.shape[2], m.shape[3]) for m in outputs.centerness], num_stuff)
    positive = targets.positive
    centerness_target = targets.centerness[positive]
    counts = mean_over_ranks(torch.stack((positive.sum(), centerness_target.sum())).float())
    num_positive, total_centerness = counts[0].clamp(min=1), counts[1].clamp(min=1e-6)
    distances = _by_location(outputs.box_distances).float()[positive]
    centerness = _by_location(outputs.centerness).float()[positive][:, 0]
    iou_loss = -torch.log(_iou(distances, targets.distances[positive]).clamp(min=1e-6))
    return {
        "class": _class_loss(_by_location(outputs.class_logits), targets, class_agnostic) / num_positive,
        "box": (iou_loss * centerness_target).sum() / total_centerness,
        "centerness": F.binary_cross_entropy_with_logits(centerness, centerness_target, reduction="sum") / num_positive,
    }


def _class_loss(logits: Tensor, targets: DetectionTargets, class_agnostic: bool) -> Tensor:
    """Return the sum of the focal loss (reference [46] of the paper) over logits (B, L, C)."""
    one_hot = torch.zeros_like(logits, dtype=torch.float32)
    image, location = torch.nonzero(targets.positive, as_tuple=True)
    classes = targets.classes[image, location]
    one_hot[image, location, torch.zeros_like(classes) if class_agnostic else classes] = 1
    losses = sigmoid_focal_loss(logits.float(), one_hot, FOCAL_ALPHA, FOCAL_GAMMA)
    return (losses * targets.counts[:, :, None]).sum()


def _by_location(levels: list[Tensor]) -> Tensor:
    """Concatenate levels (B, C, h, w) to (B, L, C)."""
    return torch.cat([level.flatten(2) for level in levels], dim=2).transpose(1, 2)


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU (n,) of boxes (n, 4) given by their distances from a common location inside."""
    shared = torch.minimum(a, b)
    intersection = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    area_a = (a[:, 0] + a[:, 2]) * (a[:, 1] + a[:, 3])
    area_b = (b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3])
    return intersection / (area_a + area_b - intersection).clamp(min=1e-6)
