# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Losses of the proposal head (Eq. 15): by default those of FCOS."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from ciae_ros.model import ModelConfig, RawOutputs
from training.data.target import Target
from training.distributed import mean_over_ranks
from training.losses.detection_config import PAPER, DetectionLossConfig
from training.losses.detection_targets import DetectionTargets, detection_targets

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
"""Parameters of the focal loss, as in RetinaNet; gamma is also the exponent of the quality focal loss."""


def detection_losses(
    outputs: RawOutputs,
    target: Target,
    model: ModelConfig,
    config: DetectionLossConfig = PAPER,
) -> dict[str, Tensor]:
    """Compute L_class, L_reg and, of models with a centre-ness branch, L_centerness.

    The class and centre-ness losses are divided by the number of positive locations, and the box loss, which is
    weighted by centre-ness, by the sum of the weights; both divisors are means over all ranks.

    Args:
        outputs: outputs of the network.
        target: annotation of the batch.
        model: configuration of the network.
        config: kinds of targets and losses.
    """
    sizes = [(level.shape[2], level.shape[3]) for level in outputs.centerness]
    targets = detection_targets(target, sizes, model.num_stuff_classes, config)
    positive = targets.positive
    weights = targets.centerness[positive]
    counts = mean_over_ranks(torch.stack((positive.sum(), weights.sum())).float())
    num_positive, total_weight = counts[0].clamp(min=1), counts[1].clamp(min=1e-6)
    distances = _by_location(outputs.box_distances).float()[positive]
    iou, enclosing_ratio = _overlap(distances, targets.distances[positive])
    one_hot = _one_hot(targets, model.num_detector_classes)
    class_losses = _class_losses(_by_location(outputs.class_logits).float(), one_hot, positive, iou, config)
    losses = {
        "class": (class_losses * targets.counts[:, :, None]).sum() / num_positive,
        "box": (_box_losses(iou, enclosing_ratio, config) * weights).sum() / total_weight,
    }
    if model.centerness_branch:
        logits = _by_location(outputs.centerness).float()[positive][:, 0]
        losses["centerness"] = F.binary_cross_entropy_with_logits(logits, weights, reduction="sum") / num_positive
    return losses


def _one_hot(targets: DetectionTargets, num_classes: int) -> Tensor:
    """Return 1 at the class of each positive location, else 0, as (B, L, num_classes) float32."""
    one_hot = torch.zeros(*targets.classes.shape, num_classes, device=targets.classes.device)
    image, location = torch.nonzero(targets.positive, as_tuple=True)
    classes = targets.classes[image, location]
    one_hot[image, location, torch.zeros_like(classes) if num_classes == 1 else classes] = 1
    return one_hot


def _class_losses(
    logits: Tensor, one_hot: Tensor, positive: Tensor, iou: Tensor, config: DetectionLossConfig
) -> Tensor:
    """Return the losses (B, L, C): the focal loss (reference [46] of the paper) or the quality focal loss."""
    if config.class_loss == "focal":
        return sigmoid_focal_loss(logits, one_hot, FOCAL_ALPHA, FOCAL_GAMMA)
    quality = one_hot.clone()
    quality[positive] *= iou.detach()[:, None]
    cross_entropy = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return (quality - logits.sigmoid()).abs() ** FOCAL_GAMMA * cross_entropy


def _box_losses(iou: Tensor, enclosing_ratio: Tensor, config: DetectionLossConfig) -> Tensor:
    """Return the losses (n,) of boxes with these overlaps."""
    if config.box_loss == "giou":
        # 1 - GIoU, where GIoU is IoU - (1 - enclosing_ratio).
        return 2 - iou - enclosing_ratio
    return -torch.log(iou.clamp(min=1e-6))


def _by_location(levels: list[Tensor]) -> Tensor:
    """Concatenate levels (B, C, h, w) to (B, L, C)."""
    return torch.cat([level.flatten(2) for level in levels], dim=2).transpose(1, 2)


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the IoU (n,) of boxes, and the ratio (n,) of their union to the smallest box around both.

    Args:
        a: (n, 4) distances from a location inside to the sides of the box.
        b: (n, 4) distances from the same location to the sides of the other.
    """
    area_a, area_b = _area(a), _area(b)
    intersection = _area(torch.minimum(a, b))
    union = (area_a + area_b - intersection).clamp(min=1e-6)
    return intersection / union, union / _area(torch.maximum(a, b)).clamp(min=1e-6)


def _area(distances: Tensor) -> Tensor:
    left, top, right, bottom = distances.unbind(dim=1)
    return (left + right) * (top + bottom)
