# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Loading of models by the name or path that a user gives."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ciae_ros.core.known_categories import coco_categories
from ciae_ros.inference.loading.checkpoint import Checkpoint, load_checkpoint, untrained_checkpoint
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.huggingface.mask_model import MaskModel, load_mask_model
from ciae_ros.inference.loading.huggingface.reference import is_reference
from ciae_ros.inference.loading.onnx_model import OnnxModel, load_onnx_model
from ciae_ros.model import PRESETS

DEFAULT_MODEL = "scenes_light"
"""The model that is shipped with the package; `ciae_ros/weights/scenes_light.md` is its model card."""

UNTRAINED_PREFIX = "untrained/"


def load_model(name: str, build: bool = True) -> Checkpoint:
    """Load a model.

    Args:
        name: name of a model that is shipped with the package, or path of a checkpoint (.safetensors), or
            "untrained/PRESET" for random weights, which exercise the data path.
        build: as `load_checkpoint` takes it.

    Raises:
        CheckpointError: the model does not exist, or its file cannot be used.
    """
    if name.startswith(UNTRAINED_PREFIX):
        preset = name.removeprefix(UNTRAINED_PREFIX)
        if preset not in PRESETS:
            raise CheckpointError(f"preset {preset!r} does not exist: use untrained/ and one of {', '.join(PRESETS)}")
        return untrained_checkpoint(preset, PRESETS[preset], coco_categories())
    if name.endswith(".onnx"):
        raise CheckpointError(f"{name} is an ONNX file, and this needs a checkpoint: give the .safetensors file")
    if is_mask_model(name):
        raise CheckpointError(
            f"{name} is not a checkpoint of CIAE, which this needs: give the path of a .safetensors file"
        )
    shipped = shipped_models()
    if not name:
        raise CheckpointError(f"no model: give the path of a checkpoint (.safetensors), or {' or '.join(shipped)}")
    if name not in shipped and "/" not in name and not name.endswith(".safetensors"):
        raise CheckpointError(
            f"no model is called {name!r}: give {', '.join(shipped)}, {UNTRAINED_PREFIX}PRESET, hf://OWNER/NAME, or "
            "the path of a .safetensors file"
        )
    return load_checkpoint(shipped.get(name, Path(name)), build)


def is_mask_model(name: str) -> bool:
    """Whether the name is a reference to the Hugging Face hub or to a folder, which a shipped model's name never is."""
    return name not in shipped_models() and is_reference(name)


def shipped_models() -> dict[str, Path]:
    """Return names and files of the models that are shipped with the package."""
    folder = resources.files("ciae_ros.weights")
    return {path.stem: path for path in map(Path, map(str, folder.iterdir())) if path.suffix == ".safetensors"}


Model = Checkpoint | OnnxModel | MaskModel
"""A model that a `Predictor` can be built from."""

TORCH, ONNX, OPENVINO, TENSORRT = RUNTIMES = ("torch", "onnx", "openvino", "tensorrt")
"""What runs a network: PyTorch, ONNX Runtime, OpenVINO, or ONNX Runtime with its TensorRT provider."""

AUTO = "auto"
BACKENDS = (AUTO, *RUNTIMES)

ONNX_SUFFIX = ".onnx"


def load_for_backend(name: str, backend: str = AUTO) -> Model:
    """Load a model that a backend can run; the network of a checkpoint is not built yet.

    Args:
        name: as `load_model` takes it, or the path of an .onnx file that `python -m ciae_ros.export` has written, or
            hf://OWNER/NAME on the Hugging Face hub or a folder in its layout.
        backend: one of `BACKENDS`.

    Raises:
        CheckpointError: the model does not exist, or its file cannot be used by the backend.
    """
    is_onnx = Path(name).suffix == ONNX_SUFFIX
    if is_onnx and backend in (TORCH, OPENVINO):
        raise CheckpointError(
            f"backend {backend} cannot run {name}: set backend to auto or onnx, or give a checkpoint (.safetensors)"
        )
    if is_onnx:
        return load_onnx_model(Path(name), tensorrt=backend == TENSORRT)
    if not is_mask_model(name):
        return load_model(name, build=False)
    if backend not in (AUTO, TORCH):
        raise CheckpointError(
            f"backend {backend} cannot run {name}, a network of transformers: set backend to auto or torch"
        )
    return load_mask_model(name)
