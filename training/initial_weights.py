# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The weights that a training run begins with."""

from __future__ import annotations

from ciae_ros.inference import load_checkpoint
from ciae_ros.model import CIAE
from training.config import ConfigError, TrainingConfig
from training.pretrained import load_pretrained_backbone


def load_initial_weights(model: CIAE, config: TrainingConfig) -> None:
    """A checkpoint to fine-tune, or a pretrained backbone, or nothing, as configured.

    Of a checkpoint for other categories everything is taken but the layers whose shapes differ.

    Raises:
        ConfigError: the checkpoint is of another architecture.
        CheckpointError: it cannot be read.
        PretrainedError: the backbone's weights cannot be had.
    """
    if config.initial_checkpoint is None:
        if config.pretrained is not None:
            load_pretrained_backbone(model, config.pretrained)
        return
    given, own = load_checkpoint(config.initial_checkpoint).model.state_dict(), model.state_dict()
    of_categories = ("memory.", "proposal_head.class_logits.", "embedding_branch.semantic_logits.")
    for name, value in own.items():
        if name in given and given[name].shape == value.shape:
            value.copy_(given[name])
        elif not name.startswith(of_categories):
            raise ConfigError(f"initial_checkpoint: it is of another architecture, its {name} does not fit")
