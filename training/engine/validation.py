# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Validation during training; the best model is saved."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import distributed as dist

from ciae_ros.core.coco_panoptic import PanopticAnnotations, image_folder_of
from ciae_ros.inference import CategorySet, save_checkpoint
from training import distributed
from training.config import TrainingConfig
from training.data.sample import DataError
from training.engine.monitoring import Monitor
from training.engine.state import TrainingState
from training.engine.thresholds import build_predictor, choose_thresholds
from training.evaluation.runner import evaluate


def validate(
    config: TrainingConfig,
    state: TrainingState,
    categories: CategorySet,
    output: Path,
    device: torch.device,
    monitor: Monitor,
) -> None:
    """Evaluate on rank 0 while the other ranks wait; save `best.safetensors` if PQ has improved.

    If a file cannot be written, as on a full disk, this validation is skipped with a message.

    Raises:
        DataError: the validation data cannot be read or have other categories.
    """
    if distributed.rank() == 0:
        try:
            _validate(config, state, categories, output, device, monitor)
        except OSError as error:
            print(f"training: iteration {state.iteration} was not validated ({error})", file=sys.stderr)
    state.validated = state.iteration
    if dist.is_initialized():
        dist.barrier()


def _validate(
    config: TrainingConfig,
    state: TrainingState,
    categories: CategorySet,
    output: Path,
    device: torch.device,
    monitor: Monitor,
) -> None:
    assert config.data.val is not None
    predictor = build_predictor(config, state, categories, device)
    thresholds = choose_thresholds(config, predictor)
    predictor.settings = thresholds.settings
    images = config.data.val_images or image_folder_of(config.data.val)
    try:
        scores = evaluate(predictor, PanopticAnnotations.load(config.data.val), images, output / "validation")
    except ValueError as error:
        raise DataError(f"validation: {error}") from None
    monitor.scores(
        {
            "PQ": 100 * scores.all.pq,
            "PQ_things": 100 * scores.things.pq,
            "PQ_stuff": 100 * scores.stuff.pq,
            "mIoU": 100 * scores.mean_iou,
            "box_AP": 100 * scores.box_ap.ap,
        },
        state.iteration,
    )
    if scores.all.pq > state.best:
        state.best = scores.all.pq
        save_checkpoint(
            output / "best.safetensors",
            config.name,
            state.evaluated_model,
            categories,
            thresholds.settings,
            thresholds.calibration,
        )
