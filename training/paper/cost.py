# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What a training costs, from the network's floating-point operations; an estimate made without running it."""

from __future__ import annotations

from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from ciae_ros.inference import coco_categories
from ciae_ros.model import CIAE, ModelConfig
from training.config import TrainingConfig
from training.schedule import scaled_schedule

COCO_INPUT = (800, 1216)
"""Height and width of a typical image of COCO with a shorter side of 800."""
FORWARD_AND_BACKWARD = 3
"""A backward pass takes about two forward passes: gradients of the activations and of the weights."""


def training_gpu_hours(config: TrainingConfig, tflops: float) -> float:
    """Hours that a GPU would need for forward and backward passes alone, without data, losses and the optimiser.

    Args:
        config: of the training; its classes are taken to be COCO's.
        tflops: 1e12 floating-point operations per second that the GPU sustains in such a network.
    """
    categories = coco_categories()
    model = config.model_for(len(categories.stuff), len(categories.things))
    height, width = config.augmentation.crop or COCO_INPUT
    images = scaled_schedule(config.optimization).iterations * config.optimization.batch_size
    return FORWARD_AND_BACKWARD * forward_flops(model, height, width) * images / (tflops * 1e12) / 3600


@cache
def forward_flops(model: ModelConfig, height: int, width: int) -> int:
    """Floating-point operations (two for a multiplication with addition) of one image's convolutions and products.

    Nothing is computed: the network is built and run on PyTorch's meta device.
    """
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        CIAE(model)(torch.empty(1, 3, height, width))
    return int(counter.get_total_flops())
