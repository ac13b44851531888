# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Model options of commands that segment."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from ciae_ros.core.arguments import add_settings
from ciae_ros.inference import DEFAULT_MODEL, InferenceSettings
from ciae_ros.inference.loading.huggingface.reference import with_absolute_paths
from ciae_ros.inference.loading.named_models import BACKENDS, is_mask_model
from ciae_ros.inference.precision import DTYPES
from ciae_ros.inference.settings import THRESHOLDS
from ciae_ros.replay.evaluation.model_options import ModelOptions


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `ModelOptions`."""
    add = parser.add_argument
    add(
        "--model",
        default=DEFAULT_MODEL,
        help="name, path of a .safetensors or .onnx file, or hf://OWNER/NAME or a folder in the layout of the Hugging "
        "Face hub (default: %(default)s)",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--backend", choices=BACKENDS, default="auto", help="what runs the network (auto: PyTorch, or the file's own)")
    add("--precision", choices=("auto", *DTYPES), default="auto", help="default: fp16 on a CUDA device, else fp32")
    add("--input-size", type=int, metavar="PIXELS", help="shorter side in the network (default: the model's)")
    add(
        "--map",
        dest="category_map",
        metavar="MAP.yaml",
        help="map the model's categories to others, such as those of the ground truth",
    )
    add_settings(parser, THRESHOLDS, InferenceSettings())


def model_options(options: argparse.Namespace) -> ModelOptions:
    """Return the options, with an absolute path of the model.

    Raises:
        CheckpointError: the reference to a model on the hub is invalid.
    """
    chosen = {field.name: getattr(options, field.name) for field in fields(ModelOptions)}
    if is_mask_model(options.model):
        chosen["model"] = with_absolute_paths(options.model)
    elif Path(options.model).is_file():
        chosen["model"] = str(Path(options.model).resolve())
    if options.category_map:
        chosen["category_map"] = str(Path(options.category_map).resolve())
    return ModelOptions(**chosen)
