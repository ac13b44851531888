# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Estimate of the cost of a training from the network's floating-point operations."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from ciae_ros.inference import coco_categories
from ciae_ros.model import CIAE, ModelConfig
from ciae_ros.model.strides import SIZE_DIVISOR
from training.config import TrainingConfig
from training.engine.schedule import scaled_schedule

COCO_INPUT = (800, 1216)
"""Height and width of a typical COCO image with a shorter side of 800 pixels."""
FORWARD_AND_BACKWARD = 3
"""Cost relative to a forward pass: the backward pass computes gradients of activations and of weights."""


def training_gpu_hours(config: TrainingConfig, tflops: float) -> float:
    """Estimate the GPU hours of the forward and backward passes, without data, losses and the optimiser.

    Args:
        config: configuration of the training, assumed to be on COCO's classes.
        tflops: sustained throughput of the GPU in TFLOP/s.
    """
    categories = coco_categories()
    model = config.model_for(len(categories.stuff), len(categories.things))
    # Batches are padded.
    height, width = (math.ceil(n / SIZE_DIVISOR) * SIZE_DIVISOR for n in config.augmentation.crop or COCO_INPUT)
    images = scaled_schedule(config.optimization).iterations * config.optimization.batch_size
    return FORWARD_AND_BACKWARD * forward_flops(model, height, width) * images / (tflops * 1e12) / 3600


@cache
def forward_flops(model: ModelConfig, height: int, width: int) -> int:
    """Count the floating-point operations of the network for an image (two for a multiplication with addition).

    The network runs on PyTorch's meta device, which computes nothing.
    """
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        CIAE(model)(torch.empty(1, 3, height, width))
    return int(counter.get_total_flops())
