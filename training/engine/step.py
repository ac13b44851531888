# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A training step: from a batch to updated weights, memory and average."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from training import distributed
from training.config import TrainingConfig
from training.data.dataset import Batch, normalized
from training.engine.optimization import set_rate
from training.engine.precision import forward_precision
from training.engine.schedule import Schedule
from training.engine.state import TrainingState
from training.losses.criterion import Losses, training_loss
from training.losses.memory_update import update_memory

FORWARD, DETECTION_LOSS, EMBEDDING_LOSS = "forward", "detection loss", "embedding loss"
BACKWARD, OPTIMISER = "backward", "optimiser"
"""Parts of a step. The backward part includes the gradient of the embedding loss in the network."""


class NonFiniteStepError(Exception):
    """The loss or gradient is not finite; the message says which, and in which iteration."""


def training_step(
    config: TrainingConfig,
    network: nn.Module,
    state: TrainingState,
    batch: Batch,
    schedule: Schedule,
    lap: Callable[[str], object] = lambda part: None,
) -> Losses:
    """Compute the losses and update weights, memory and average.

    Args:
        config: configuration of the run.
        network: the state's model, or its wrapper for several processes.
        state: state to update, except for its iteration.
        batch: batch on the model's device.
        schedule: schedule of the learning rate.
        lap: called with the name of each part at its end.

    Raises:
        NonFiniteStepError: the loss of any rank or the gradient is not finite; raised on all ranks, without any update.
    """
    optimization, model = config.optimization, state.model
    images = normalized(batch, model.config.pixel_mean, model.config.pixel_std)
    with forward_precision(optimization.autocast, images.device):
        outputs = network(images.contiguous(memory_format=torch.channels_last))
    lap(FORWARD)
    losses = training_loss(
        outputs, batch.target, model.memory.vectors, model.config, config.losses, lambda: lap(DETECTION_LOSS)
    )
    lap(EMBEDDING_LOSS)
    _check_loss(losses, state.iteration)
    set_rate(state.optimizer, schedule.rate(state.iteration))
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(losses.total).backward()
    lap(BACKWARD)
    _change_weights(state, optimization.gradient_clipping)
    momentum = config.memory.at(state.iteration, schedule.iterations, schedule.memory_factor)
    update_memory(model.memory, losses.category_sums, momentum)
    if state.average is not None:
        state.average.update(model, state.iteration)
    lap(OPTIMISER)
    return losses


def _change_weights(state: TrainingState, gradient_clipping: float | None) -> None:
    state.scaler.unscale_(state.optimizer)
    norm = _clip(state.model, gradient_clipping)
    # Scaled losses occasionally overflow; the scaler then skips the step.
    if not state.scaler.is_enabled() and not norm.isfinite():
        raise NonFiniteStepError(f"the gradient of iteration {state.iteration} is not finite")
    state.scaler.step(state.optimizer)
    state.scaler.update()


def _clip(model: nn.Module, limit: float | None) -> Tensor:
    """Clip the norm of the gradient, which is the mean over all ranks; returns the norm before clipping."""
    if limit is not None:
        return nn.utils.clip_grad_norm_(model.parameters(), limit)
    return nn.utils.get_total_norm([each.grad for each in model.parameters() if each.grad is not None])


def _check_loss(losses: Losses, iteration: int) -> None:
    finite = bool(losses.total.isfinite())
    bad_ranks = distributed.sum_over_ranks(torch.tensor(float(not finite), device=losses.total.device))
    if bad_ranks:
        parts = ", ".join(f"{name} {float(value):.4g}" for name, value in losses.parts.items())
        raise NonFiniteStepError(f"the loss of iteration {iteration} is not finite ({parts})")
