# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Loading of the predictor that the parameters specify, warm-up of its pipeline, and its memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import cv2
import torch
from rclpy.logging import get_logger

from ciae_ros.inference import Predictor
from ciae_ros.inference.device_choice import choose_device
from ciae_ros.inference.execution.choice import choose_execution
from ciae_ros.inference.host_memory import trim_malloc
from ciae_ros.inference.loading.named_models import load_for_backend
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.node.parameters.definitions import NodeParameters

LoadPredictor = Callable[[NodeParameters], Predictor]

MAX_BATCH_TIME_RATIO = 0.95
"""Batching is used if a batch takes less than this share of the time of its images one by one."""


def load_predictor(parameters: NodeParameters) -> Predictor:
    """Load the model onto its device, and choose what runs it.

    Raises:
        CheckpointError: the model cannot be used, or the backend cannot run it.
        ValueError: the device does not exist or does not support the precision.
        torch.OutOfMemoryError: the device has too little memory for it.
    """
    device = choose_device(parameters.device)
    # OpenCV's threads gain nothing with the small images of the tracker, and take the cores from the network.
    cv2.setNumThreads(1)
    model = load_for_backend(parameters.model, parameters.backend)
    input_size = parameters.input_size or None
    execution = choose_execution(
        model,
        device,
        parameters.backend,
        parameters.precision,
        parameters.sizes[0],
        input_size,
        parameters.compile,
        get_logger("panoptic_node").info,
    )
    predictor = Predictor(
        model,
        device,
        execution.precision,
        parameters.settings(model.settings),
        input_size,
        parameters.labels_resolution,
        parameters.compile,
        runtime=execution.runtime,
    )
    predictor.execution_reason = execution.reason
    return predictor


def warm_up(pipeline: StreamPipeline, parameters: NodeParameters, cameras: int, log: Callable[[str], object]) -> int:
    """Warm up for batches of the expected sizes.

    Args:
        pipeline: pipeline without batches in flight.
        parameters: with `max_batch` 0, the batch size is chosen by measuring the first size.
        cameras: number of cameras.
        log: called with the execution mode of each size.

    Returns:
        The maximum number of images in a batch.
    """

    def prepare(size: tuple[int, int], batch_size: int) -> float:
        found = pipeline.warm_up(*size, batch_size)
        log(
            f"{batch_size} x {size[1]}x{size[0]}: {found.execution_mode}, {1e3 * found.seconds_per_batch:.1f} ms; "
            f"warm-up took {found.seconds:.1f} s"
        )
        return found.seconds_per_batch

    first, *others = parameters.sizes
    max_batch = parameters.max_batch or cameras
    alone = prepare(first, 1)
    together = prepare(first, max_batch) if max_batch > 1 else alone
    if max_batch > 1 and not parameters.max_batch and together >= MAX_BATCH_TIME_RATIO * max_batch * alone:
        pipeline.release_buffers()
        others, max_batch = list(parameters.sizes), 1
    for batch_size in range(2, max_batch):
        prepare(first, batch_size)
    for size in others:
        for batch_size in range(1, max_batch + 1):
            prepare(size, batch_size)
    return max_batch


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means too little memory; PyTorch's CPU allocator has no exception class for it."""
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def release_unused_memory() -> None:
    """Return the memory of a released model to the operating system and the device."""
    trim_malloc()
    # After some errors of a device every call on it fails.
    with suppress(RuntimeError):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
