# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Trained parameters and their optimiser (Sec. V-C)."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from ciae_ros.model import CIAE
from ciae_ros.model.backbone import ResNetFeatures
from training.config import OptimizationConfig


def freeze(model: CIAE, config: OptimizationConfig) -> None:
    """Freeze the configured stages and batch normalisations of the backbone."""
    for stage in _stages(model)[: config.frozen_stages]:
        stage.requires_grad_(False)
    if config.frozen_batch_norm:
        for norm in _batch_norms(model):
            norm.requires_grad_(False)


def set_training_mode(model: CIAE, config: OptimizationConfig) -> None:
    """Set the training mode, except for batch normalisations that keep their statistics."""
    model.train()
    for stage in _stages(model)[: config.frozen_stages]:
        stage.eval()
    if config.frozen_batch_norm:
        for norm in _batch_norms(model):
            norm.eval()


def build_optimizer(model: CIAE, config: OptimizationConfig) -> Optimizer:
    """Build SGD or AdamW, without weight decay for biases and normalisations.

    The key `rate_factor` of a parameter group is its factor on the learning rate.
    """
    groups = []
    for factor, module in ((config.backbone_rate, model.backbone), (1.0, model)):
        backbone = {id(p) for p in model.backbone.parameters()}
        trained = [p for p in module.parameters() if p.requires_grad and (module is not model or id(p) not in backbone)]
        for decayed in (True, False):
            parameters = [p for p in trained if (p.dim() > 1) == decayed]
            decay = config.weight_decay if decayed else 0.0
            if parameters:
                groups.append({"params": parameters, "weight_decay": decay, "rate_factor": factor})
    if config.optimizer == "adamw":
        return AdamW(groups, lr=config.learning_rate)
    return SGD(groups, lr=config.learning_rate, momentum=config.momentum)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_factor"]


def _stages(model: CIAE) -> list[nn.Module]:
    backbone = model.backbone
    if isinstance(backbone, ResNetFeatures):
        stem = nn.ModuleList([backbone.conv1, backbone.bn1])
        return [stem, backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]
    body = backbone.body
    return [nn.ModuleList([getattr(body, name) for name in ("conv_stem", "bn1") if hasattr(body, name)])]


def _batch_norms(model: CIAE) -> list[nn.Module]:
    return [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
