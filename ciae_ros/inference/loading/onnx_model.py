# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""ONNX models written by `ciae_ros.export`: network, configuration, categories, thresholds and memory in one file."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ciae_ros.core.categories import CategorySet
from ciae_ros.inference.loading.checkpoint import Checkpoint
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.optional_runtimes import import_onnxruntime
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.model import ModelConfig
from ciae_ros.model.category_memory import CategoryMemory

FORMAT = "ciae-onnx-1"
INPUT = "images"
OUTPUTS = ("embedding", "boxes", "scores", "classes", "locations")
"""Names of the outputs: the embedding map and the fields of `Candidates`."""
SEMANTIC_LOGITS = "semantic_logits"
"""Name of the sixth output of models with a semantic branch."""

PRECISIONS = {"tensor(float)": "fp32", "tensor(float16)": "fp16"}
"""Precision of the network by ONNX Runtime's name for the type of its input."""


@dataclass(frozen=True)
class OnnxModel:
    """An exported model and its metadata."""

    path: Path
    name: str
    """Name of the exported checkpoint."""
    digest: str
    """Digest of the exported checkpoint, or `UNTRAINED`."""
    config: ModelConfig
    """The configuration with the `input_size` of the export."""
    categories: CategorySet
    settings: InferenceSettings
    """Default thresholds; `max_proposals_per_level` is fixed by the export, the others may be changed."""
    memory: CategoryMemory
    """On the CPU, in float32."""
    precision: str
    """fp32 or fp16."""
    input_shape: tuple[int, int, int, int]
    """(1, 3, height, width) in pixels including padding: the only input size that the network accepts."""
    tensorrt: bool = False
    """Use ONNX Runtime's TensorRT provider on CUDA devices instead of its CUDA provider."""


def to_metadata(checkpoint: Checkpoint, input_size: int) -> dict[str, str]:
    """Return the metadata that is stored next to the graph.

    The memory is stored as metadata because it is constant, and ONNX Runtime drops an initialiser that no node of the
    graph uses.
    """
    vectors = checkpoint.model.memory.vectors.float().cpu().numpy().astype("<f4")
    return {
        "format": FORMAT,
        "name": checkpoint.name,
        "digest": checkpoint.digest,
        "config": json.dumps(checkpoint.model.config.at_input_size(input_size).to_dict()),
        "categories": json.dumps(checkpoint.categories.to_coco()),
        "settings": json.dumps(asdict(checkpoint.settings)),
        "memory": base64.b64encode(vectors.tobytes()).decode(),
    }


def load_onnx_model(path: Path, tensorrt: bool = False) -> OnnxModel:
    """Load and validate the metadata of an ONNX model.

    Args:
        path: path of the file.
        tensorrt: run the model with the TensorRT provider.

    Raises:
        CheckpointError: no such file, not written by `ciae_ros.export`, or ONNX Runtime is missing or cannot read it.
    """
    if not path.is_file():
        raise CheckpointError(f"no model at {path}: give the path of a file that python -m ciae_ros.export has written")
    session = open_session(path)
    metadata = session.get_modelmeta().custom_metadata_map
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a model of this version: format {metadata.get('format')!r}, not {FORMAT!r}; "
            "export a checkpoint with python -m ciae_ros.export"
        )
    inputs = session.get_inputs()
    try:
        config = ModelConfig.from_dict(json.loads(metadata["config"]))
        categories = CategorySet.from_coco(json.loads(metadata["categories"]))
        model = OnnxModel(
            path=path,
            name=metadata["name"],
            digest=metadata["digest"],
            config=config,
            categories=categories,
            settings=InferenceSettings(**json.loads(metadata["settings"])),
            memory=_memory(config, metadata),
            precision=PRECISIONS[inputs[0].type],
            input_shape=tuple(inputs[0].shape),
            tensorrt=tensorrt,
        )
        _check(model, [each.name for each in inputs], [each.name for each in session.get_outputs()])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not describe a valid model ({error}): export it again") from None
    return model


def open_session(path: Path, options: Any = None, providers: list[Any] | None = None) -> Any:
    """Create an `onnxruntime.InferenceSession`.

    Args:
        path: path of the ONNX file.
        options: `onnxruntime.SessionOptions`; None if only the metadata is needed.
        providers: execution providers; the CPU's if None.

    Raises:
        CheckpointError: ONNX Runtime is missing, or cannot read the file, or cannot run it with these providers.
    """
    ort = import_onnxruntime()
    if options is None:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Its messages at every start are not useful; failures are reported below.
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(str(path), options, providers=providers or ["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base class.
        raise CheckpointError(
            f"{path} cannot be opened by ONNX Runtime {ort.__version__} ({' '.join(str(error).split())}): "
            "export it again, or with another version of ONNX Runtime"
        ) from None


def _memory(config: ModelConfig, metadata: Mapping[str, str]) -> CategoryMemory:
    vectors = np.frombuffer(base64.b64decode(metadata["memory"], validate=True), "<f4").astype(np.float32)
    memory = CategoryMemory(config)
    memory.vectors.copy_(torch.from_numpy(vectors.reshape(memory.vectors.shape)))
    return memory


def _check(model: OnnxModel, inputs: list[str], outputs: list[str]) -> None:
    expected = [*OUTPUTS, *([SEMANTIC_LOGITS] if model.config.semantic_branch else [])]
    if inputs != [INPUT] or outputs != expected:
        raise ValueError(f"its outputs are {', '.join(outputs)}, not {', '.join(expected)}")
    if model.input_shape[:2] != (1, 3) or not all(isinstance(length, int) for length in model.input_shape):
        raise ValueError(f"its input has the shape {model.input_shape}, not 1 x 3 x height x width")
    counts = len(model.categories.stuff), len(model.categories.things)
    if counts != (model.config.num_stuff_classes, model.config.num_thing_classes):
        raise ValueError("its categories do not fit its configuration")
