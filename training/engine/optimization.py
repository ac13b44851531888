# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Trained parameters and their optimiser (Sec. V-C)."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from ciae_ros.model import CIAE
from training.config import OptimizationConfig


def freeze(model: CIAE, config: OptimizationConfig) -> None:
    """Freeze the configured stages and batch normalisations of the backbone.

    Raises:
        ValueError: the stages of the backbone are not known.
    """
    for layer in _frozen_layers(model, config):
        layer.requires_grad_(False)
    if config.frozen_batch_norm:
        for norm in _batch_norms(model):
            norm.requires_grad_(False)


def set_training_mode(model: CIAE, config: OptimizationConfig) -> None:
    """Set the training mode, except for batch normalisations that keep their statistics."""
    model.train()
    for layer in _frozen_layers(model, config):
        layer.eval()
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


def _frozen_layers(model: CIAE, config: OptimizationConfig) -> list[nn.Module]:
    if not config.frozen_stages:
        return []
    return [layer for stage in model.backbone.stages()[: config.frozen_stages] for layer in stage]


def _batch_norms(model: CIAE) -> list[nn.Module]:
    return [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
