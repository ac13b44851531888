# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Export of a checkpoint to a single ONNX file, which `ciae_ros.inference` runs without the checkpoint."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import torch
from torch import Tensor, nn

from ciae_ros.inference.conversion.errors import ExportError
from ciae_ros.inference.conversion.versions import ONNX_PACKAGES
from ciae_ros.inference.loading.checkpoint import Checkpoint
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.onnx_model import INPUT, OUTPUTS, SEMANTIC_LOGITS, load_onnx_model, to_metadata
from ciae_ros.inference.networks.fold_batch_norm import fold_batch_norm
from ciae_ros.inference.networks.onnx_network import DTYPES, OnnxNetwork
from ciae_ros.inference.proposals.candidates import select_candidates
from ciae_ros.model import CIAE
from ciae_ros.model.strides import SIZE_DIVISOR

OPSET = 21
"""Oldest opset in which GroupNormalization has a weight for each channel; fewer runtimes support newer opsets."""

TOLERANCE = {"fp32": 1e-3, "fp16": 5e-2}
"""Maximum difference of the exported embedding map from PyTorch's in float32, relative to its largest value."""

MAX_BYTES = 2**31 - 2**20
"""Maximum size of an ONNX file, which is a protocol buffer of at most 2 GiB."""


class _ExportedNetwork(nn.Module):
    def __init__(self, model: CIAE, max_per_level: int) -> None:
        super().__init__()
        self.model = model
        self.max_per_level = max_per_level

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(images)
        candidates = select_candidates(outputs, self.max_per_level)
        semantic_logits = [] if outputs.semantic_logits is None else [outputs.semantic_logits]
        return outputs.embedding, *candidates, *semantic_logits


def export_onnx(
    checkpoint: Checkpoint, path: Path, size: tuple[int, int], input_size: int, precision: str = "fp32"
) -> float:
    """Export the network with the selection of candidates for images of one size, and compare it with PyTorch.

    Thresholds and non-maximum suppression are not part of the file, so that they can still be changed.

    Args:
        checkpoint: not modified.
        path: path of the ONNX file; an existing file is replaced after the new one has passed the comparison.
        size: (height, width) of the network's input in pixels, padding included.
        input_size: length in pixels to which an image's shorter side is resized.
        precision: precision of weights and activations: fp32 or fp16.

    Returns:
        Maximum difference of the embedding map from PyTorch's in float32, relative to its largest value.

    Raises:
        ExportError: the size is not supported by the network, a package is missing, the network cannot be exported, or
            the results of the file differ from PyTorch's.
    """
    _check_request(path, size, precision)
    model = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
    fold_batch_norm(model.backbone)
    network = _ExportedNetwork(model, checkpoint.settings.max_proposals_per_level).eval()
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(image)[0]
    partial = path.with_name(path.name + ".partial")
    try:
        _write(network.to(DTYPES[precision]), image.to(DTYPES[precision]), to_metadata(checkpoint, input_size), partial)
        difference = _compare(partial, image.to(DTYPES[precision]), expected)
        if not difference <= TOLERANCE[precision]:
            raise ExportError(
                f"the exported network's embedding differs from PyTorch's by {difference:.2g} of its largest value, "
                f"more than {TOLERANCE[precision]}: use the checkpoint with PyTorch"
                + (", or export it without --fp16" if precision == "fp16" else "")
            )
        partial.replace(path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written ({error.strerror}): choose another path") from None
    finally:
        partial.unlink(missing_ok=True)
    return difference


def _check_request(path: Path, size: tuple[int, int], precision: str) -> None:
    if any(length < SIZE_DIVISOR or length % SIZE_DIVISOR for length in size):
        rounded = "x".join(str(max(1, -(-length // SIZE_DIVISOR)) * SIZE_DIVISOR) for length in size)
        raise ExportError(
            f"height and width of the network's input must be multiples of {SIZE_DIVISOR}, not "
            f"{size[0]}x{size[1]}: use {rounded}"
        )
    if precision not in DTYPES:
        raise ExportError(f"precision {precision!r} cannot be exported: use one of {', '.join(DTYPES)}")
    if not path.parent.is_dir():
        raise ExportError(f"{path} cannot be written: folder {path.parent} does not exist")
    missing = [name for name in ONNX_PACKAGES if util.find_spec(name) is None]
    if missing:
        raise ExportError(f"{', '.join(missing)} not installed: type pip install -r requirements-onnx.txt")


def _write(network: _ExportedNetwork, image: Tensor, metadata: dict[str, str], path: Path) -> None:
    """Trace the network with one image and write the file.

    The size is fixed: torch.export did not terminate with symbolic height and width, and TensorRT builds an engine for
    each size anyway.
    """
    config = network.model.config
    names = [*OUTPUTS, *([SEMANTIC_LOGITS] if config.semantic_branch else [])]
    try:
        with _quiet():
            program = torch.onnx.export(
                network, (image,), dynamo=True, opset_version=OPSET, input_names=[INPUT], output_names=names
            )
    except Exception as error:  # The exporter does not support all operators of timm's backbones.
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError(
            f"{config.backbone} cannot be exported ({reason}): use the checkpoint with PyTorch, or another backbone"
        ) from None
    assert program is not None
    # The exporter records source locations, with the paths of this machine.
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    program.model.metadata_props.update(metadata)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    if weights > MAX_BYTES:
        raise ExportError("an ONNX file is limited to 2 GiB: use the checkpoint with PyTorch, or --fp16")
    program.save(path, external_data=False)


def _compare(path: Path, image: Tensor, expected: Tensor) -> float:
    try:
        model = load_onnx_model(path)
        embedding = OnnxNetwork(model, torch.device("cpu"), DTYPES[model.precision])(image).embedding
    except CheckpointError as error:
        raise ExportError(f"the exported file cannot be used: {error}") from None
    return ((embedding - expected).abs().max() / expected.abs().max()).item()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the progress and developer messages of the exporter."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
