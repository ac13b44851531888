"""The predictor that the parameters ask for, warmed up."""

from __future__ import annotations

import torch

from ciae_ros.inference import Predictor, load_model
from ciae_ros.inference.host_memory import keep_freed_memory
from ciae_ros.node.parameters import NodeParameters

WORTHWHILE = 0.95
"""A batch has to take less than this share of its images' times one by one."""


def load_predictor(parameters: NodeParameters) -> Predictor:
    """Load the model onto its device and segment some images of each expected size.

    Raises:
        CheckpointError: the model cannot be used.
        ValueError: there is no such device, or it does not have the precision.
        torch.OutOfMemoryError: the device has too little memory for it.
    """
    device = parameters.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = parameters.precision
    if precision == "auto":
        precision = "fp16" if device.startswith("cuda") else "fp32"
    if device == "cpu":
        keep_freed_memory()
    checkpoint = load_model(parameters.model)
    predictor = Predictor(
        checkpoint,
        device,
        precision,
        parameters.settings(checkpoint.settings),
        parameters.input_size or None,
        parameters.labels_resolution,
    )
    for size in parameters.sizes:
        predictor.warm_up(*size)
    return predictor


def fastest_batch(predictor: Predictor, size: tuple[int, int], cameras: int) -> int:
    """How many images of this size (height, width) should go through the network at once: 1, or one of each camera."""
    if cameras == 1:
        return 1
    alone = predictor.warm_up(*size, images=3)
    together = predictor.warm_up(*size, images=3, batch_size=cameras)
    return cameras if together < WORTHWHILE * cameras * alone else 1
