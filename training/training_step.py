# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""One iteration: from a batch to changed weights, memory and average."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from training import distributed
from training.config import TrainingConfig
from training.data.dataset import Batch, normalized
from training.losses.criterion import Losses, training_loss
from training.memory_update import update_memory
from training.optimization import set_rate
from training.preparation import AUTOCAST
from training.schedule import Schedule
from training.training_state import TrainingState

FORWARD, DETECTION_LOSS, EMBEDDING_LOSS = "forward", "detection loss", "embedding loss"
BACKWARD, OPTIMISER = "backward", "optimiser"
"""Parts of a step. What the embedding loss sends back into the network is in the backward part."""


class NonFiniteStepError(Exception):
    """The loss or the gradient is not a number; the message says which, and of which iteration."""


def training_step(
    config: TrainingConfig,
    network: nn.Module,
    state: TrainingState,
    batch: Batch,
    schedule: Schedule,
    lap: Callable[[str], object] = lambda part: None,
) -> Losses:
    """Losses, gradients, weights, memory, average.

    Args:
        config: of the run.
        network: the state's model, or what wraps it for many processes.
        state: is changed, but for its iteration.
        batch: on the model's device.
        schedule: of the learning rate.
        lap: is told of the end of each part.

    Raises:
        NonFiniteStepError: on all ranks, if the loss of any or the gradient is not finite; nothing has been changed.
    """
    optimization, model = config.optimization, state.model
    images = normalized(batch, model.config.pixel_mean, model.config.pixel_std)
    dtype = AUTOCAST.get(optimization.autocast)
    with torch.autocast(images.device.type, dtype) if dtype else nullcontext():
        outputs = network(images.contiguous(memory_format=torch.channels_last))
    lap(FORWARD)
    losses = training_loss(
        outputs, batch.target, model.memory.vectors, model.config, config.embedding_loss, lambda: lap(DETECTION_LOSS)
    )
    lap(EMBEDDING_LOSS)
    _check_loss(losses, state.iteration)
    set_rate(state.optimizer, schedule.rate(state.iteration))
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(losses.total).backward()
    lap(BACKWARD)
    _change_weights(state, optimization.gradient_clipping)
    update_memory(model.memory, losses.category_sums, config.memory.at(state.iteration, schedule.iterations))
    if state.average is not None:
        state.average.update(model, state.iteration)
    lap(OPTIMISER)
    return losses


def _change_weights(state: TrainingState, gradient_clipping: float | None) -> None:
    state.scaler.unscale_(state.optimizer)
    norm = _clip(state.model, gradient_clipping)
    # Scaled losses overflow now and then; the scaler leaves such a step out itself.
    if not state.scaler.is_enabled() and not norm.isfinite():
        raise NonFiniteStepError(f"the gradient of iteration {state.iteration} is not finite")
    state.scaler.step(state.optimizer)
    state.scaler.update()


def _clip(model: nn.Module, limit: float | None) -> Tensor:
    """Bound the norm of the gradient, which is the mean over all ranks; returns what it was."""
    if limit is not None:
        return nn.utils.clip_grad_norm_(model.parameters(), limit)
    return nn.utils.get_total_norm([each.grad for each in model.parameters() if each.grad is not None])


def _check_loss(losses: Losses, iteration: int) -> None:
    finite = bool(losses.total.isfinite())
    bad_ranks = distributed.sum_over_ranks(torch.tensor(float(not finite), device=losses.total.device))
    if bad_ranks:
        parts = ", ".join(f"{name} {float(value):.4g}" for name, value in losses.parts.items())
        raise NonFiniteStepError(f"the loss of iteration {iteration} is not finite ({parts})")
