"""The predictor that the parameters ask for, warmed up."""

from __future__ import annotations

import torch

from ciae_ros.inference import Checkpoint, CheckpointError, Predictor
from ciae_ros.inference.backends import load_for_backend
from ciae_ros.inference.host_memory import keep_freed_memory
from ciae_ros.inference.onnx_model import OnnxModel
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
    if device == "cpu":
        keep_freed_memory()
    model = load_for_backend(parameters.model, parameters.backend)
    predictor = Predictor(
        model,
        device,
        _precision(parameters, model, device),
        parameters.settings(model.settings),
        parameters.input_size or None,
        parameters.labels_resolution,
    )
    for size in parameters.sizes:
        predictor.warm_up(*size)
    return predictor


def _precision(parameters: NodeParameters, model: Checkpoint | OnnxModel, device: str) -> str:
    """The one that is set, or that suits the model and the device."""
    if parameters.precision != "auto":
        return parameters.precision
    if isinstance(model, OnnxModel):
        if model.precision == "fp16" and device == "cpu":
            raise CheckpointError(f"{model.path} is fp16, which is not for the CPU: export it without --fp16")
        return model.precision
    return "fp16" if device.startswith("cuda") else "fp32"


def fastest_batch(predictor: Predictor, size: tuple[int, int], cameras: int) -> int:
    """How many images of this size (height, width) should go through the network at once: 1, or one of each camera."""
    if cameras == 1:
        return 1
    alone = predictor.warm_up(*size, images=3)
    together = predictor.warm_up(*size, images=3, batch_size=cameras)
    return cameras if together < WORTHWHILE * cameras * alone else 1
