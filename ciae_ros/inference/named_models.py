# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Models by what a user calls them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ciae_ros.inference.categories import coco_categories
from ciae_ros.inference.checkpoint import Checkpoint, CheckpointError, load_checkpoint, untrained_checkpoint
from ciae_ros.model import PRESETS

DEFAULT_MODEL = "camvid_light"
"""The one that comes with the package; `ciae_ros/weights/camvid_light.md` says what it can do."""

UNTRAINED_PREFIX = "untrained/"


def load_model(name: str) -> Checkpoint:
    """Load a model.

    Args:
        name: of a model that comes with the package, or the path of a checkpoint (.safetensors), or "untrained/PRESET"
            for random weights, which try the way of the data.

    Raises:
        CheckpointError: there is no such model, or its file cannot be used.
    """
    if name.startswith(UNTRAINED_PREFIX):
        preset = name.removeprefix(UNTRAINED_PREFIX)
        if preset not in PRESETS:
            raise CheckpointError(f"there is no preset {preset!r}: use untrained/ and one of {', '.join(PRESETS)}")
        return untrained_checkpoint(preset, PRESETS[preset], coco_categories())
    if name.endswith(".onnx"):
        raise CheckpointError(f"{name} is an ONNX file, and this needs a checkpoint: give the .safetensors file")
    shipped = shipped_models()
    if not name:
        raise CheckpointError(f"no model: give the path of a checkpoint (.safetensors), or {' or '.join(shipped)}")
    return load_checkpoint(shipped.get(name, Path(name)))


def shipped_models() -> dict[str, Path]:
    """Names and files of the models that come with the package."""
    folder = resources.files("ciae_ros.weights")
    return {path.stem: path for path in map(Path, map(str, folder.iterdir())) if path.suffix == ".safetensors"}
