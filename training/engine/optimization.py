# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Trained parameters and their optimiser (Sec. V-C)."""

from __future__ import annotations

from collections.abc import Iterator

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

    Raises:
        ValueError: `layer_decay` is below 1, and the stages of the backbone are not known.
    """
    groups = []
    for factor, trained in _parameters_by_rate(model, config):
        for decayed in (True, False):
            parameters = [p for p in trained if p.requires_grad and (p.dim() > 1) == decayed]
            decay = config.weight_decay if decayed else 0.0
            if parameters:
                groups.append({"params": parameters, "weight_decay": decay, "rate_factor": factor})
    if config.optimizer == "adamw":
        return AdamW(groups, lr=config.learning_rate)
    return SGD(groups, lr=config.learning_rate, momentum=config.momentum)


def _parameters_by_rate(model: CIAE, config: OptimizationConfig) -> Iterator[tuple[float, list[nn.Parameter]]]:
    """Yield the factors on the learning rate with their parameters: the backbone's, then the others'.

    Raises:
        ValueError: the rate depends on the stage, and the stages of the backbone are not known.
    """
    backbone = list(model.backbone.parameters())
    if config.layer_decay < 1:
        stages = model.backbone.stages()
        for distance, stage in zip(range(len(stages), 0, -1), stages, strict=True):
            factor = config.backbone_rate * config.layer_decay**distance
            yield factor, [p for layer in stage for p in layer.parameters()]
    else:
        yield config.backbone_rate, backbone
    of_backbone = set(map(id, backbone))
    yield 1.0, [p for p in model.parameters() if id(p) not in of_backbone]


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
