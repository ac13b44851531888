# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The predictor that the parameters ask for, and a pipeline that is ready for the expected images."""

from __future__ import annotations

from collections.abc import Callable

from ciae_ros.inference import Predictor
from ciae_ros.inference.device_choice import choose_device, choose_precision
from ciae_ros.inference.loading.named_models import load_for_backend
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.node.parameters import NodeParameters

WORTHWHILE = 0.95
"""A batch has to take less than this share of its images' times one by one."""


def load_predictor(parameters: NodeParameters) -> Predictor:
    """Load the model onto its device.

    Raises:
        CheckpointError: the model cannot be used.
        ValueError: there is no such device, or it does not have the precision.
        torch.OutOfMemoryError: the device has too little memory for it.
    """
    device = choose_device(parameters.device)
    model = load_for_backend(parameters.model, parameters.backend)
    return Predictor(
        model,
        device,
        choose_precision(parameters.precision, model, device),
        parameters.settings(model.settings),
        parameters.input_size or None,
        parameters.labels_resolution,
        parameters.compile,
    )


def warm_up(pipeline: StreamPipeline, parameters: NodeParameters, cameras: int, log: Callable[[str], object]) -> int:
    """Prepare for batches of the expected sizes.

    Args:
        pipeline: with nothing on its way.
        parameters: `max_batch` 0 has it measured on the first size.
        cameras: how many there are.
        log: is told how each size will run.

    Returns:
        How many images should go through the network at once.
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
    if max_batch > 1 and not parameters.max_batch and together >= WORTHWHILE * max_batch * alone:
        pipeline.release_buffers()
        others, max_batch = list(parameters.sizes), 1
    for batch_size in range(2, max_batch):
        prepare(first, batch_size)
    for size in others:
        for batch_size in range(1, max_batch + 1):
            prepare(size, batch_size)
    return max_batch
