# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Predictors that run as in the node, by the backend and in the precision that it chooses."""

from __future__ import annotations

import argparse

from ciae_ros.inference import Predictor, load_for_backend
from ciae_ros.inference.execution.choice import choose_execution
from ciae_ros.inference.loading.named_models import AUTO, BACKENDS


def add_backend_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option of benchmarks that run the network as the node does; their default precision is auto, too."""
    parser.add_argument(
        "--backend", choices=BACKENDS, default=AUTO, help="as the parameter of the node (default: auto)"
    )


def build_predictor(
    model: str, options: argparse.Namespace, image_size: tuple[int, int], input_size: int | None = None
) -> Predictor:
    """Build a predictor.

    Args:
        model: as the parameter of the node.
        options: have `device`, `backend` and `precision`.
        image_size: (height, width) of the images.
        input_size: length of the shorter side in the network, in pixels; that of the model if None.
    """
    loaded = load_for_backend(model, options.backend)
    execution = choose_execution(
        loaded, options.device, options.backend, options.precision, image_size, input_size, log=print
    )
    return Predictor(loaded, options.device, execution.precision, input_size=input_size, runtime=execution.runtime)


def describe_execution(predictor: Predictor) -> str:
    """Return runtime and precision, human-readable."""
    return f"{predictor.backend.runtime or 'PyTorch'}, {predictor.precision}"
