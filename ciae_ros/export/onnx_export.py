# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A checkpoint to one ONNX file that `ciae_ros.inference` runs without the checkpoint."""

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

from ciae_ros.inference.loading.checkpoint import Checkpoint, CheckpointError
from ciae_ros.inference.loading.onnx_model import INPUT, OUTPUTS, SEMANTIC_LOGITS, load_onnx_model, to_metadata
from ciae_ros.inference.networks.fold_batch_norm import fold_batch_norm
from ciae_ros.inference.networks.onnx_network import DTYPES, OnnxNetwork
from ciae_ros.inference.proposals.candidates import select_candidates
from ciae_ros.model import CIAE
from ciae_ros.model.backbone import SIZE_DIVISOR

OPSET = 20
"""The operators that the networks use are all in it; the newer the opset, the fewer runtimes can read it."""

TOLERANCE = {"fp32": 1e-3, "fp16": 5e-2}
"""Largest difference of the exported embedding map from PyTorch's in float32, as a share of its largest value."""

MAX_BYTES = 2**31 - 2**20
"""Protocol buffers, which ONNX files are, hold at most 2 GiB."""


class ExportError(Exception):
    """A checkpoint that cannot be exported; the message says why and what to do, in one line."""


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
    """Write the network with the selection of candidates for images of one size, and compare it with PyTorch.

    Thresholds and non-maximum suppression stay outside, so that they may still be chosen.

    Args:
        checkpoint: stays as it is.
        path: of the ONNX file; a file that was there before stays until the new one has passed the comparison.
        size: (height, width) of the network's input in pixels, padding included.
        input_size: length in pixels to which an image's shorter side is to be resized.
        precision: of weights and activations: fp32 or fp16.

    Returns:
        Largest difference of the embedding map from PyTorch's in float32, as a share of its largest value.

    Raises:
        ExportError: the size does not fit the network, a package is missing, the network has something in it that
            cannot be exported, or the file does not give what PyTorch does.
    """
    _check_request(path, size, precision)
    model = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
    fold_batch_norm(model.backbone)
    network = _ExportedNetwork(model, checkpoint.settings.max_proposals_per_level).eval()
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(image)[0]
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        _write(
            network.to(DTYPES[precision]), image.to(DTYPES[precision]), to_metadata(checkpoint, input_size), unfinished
        )
        difference = _compare(unfinished, image.to(DTYPES[precision]), expected)
        if not difference <= TOLERANCE[precision]:
            raise ExportError(
                f"the exported network's embedding differs from PyTorch's by {difference:.2g} of its largest value, "
                f"more than {TOLERANCE[precision]}: use the checkpoint with PyTorch"
                + (", or export it without --fp16" if precision == "fp16" else "")
            )
        unfinished.replace(path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written ({error.strerror}): choose another place") from None
    finally:
        unfinished.unlink(missing_ok=True)
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
        raise ExportError(f"{path} cannot be written: there is no folder {path.parent}")
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if util.find_spec(name) is None]
    if missing:
        raise ExportError(f"{', '.join(missing)} not installed: type pip install -r requirements-onnx.txt")


def _write(network: _ExportedNetwork, image: Tensor, metadata: dict[str, str], path: Path) -> None:
    """Trace the network with one image and write the file.

    The size is fixed: with symbolic height and width torch.export did not come to an end, and TensorRT builds an
    engine for each size in any case.
    """
    config = network.model.config
    names = [*OUTPUTS, *([SEMANTIC_LOGITS] if config.semantic_branch else [])]
    try:
        with _quiet():
            program = torch.onnx.export(
                network, (image,), dynamo=True, opset_version=OPSET, input_names=[INPUT], output_names=names
            )
    except Exception as error:  # Whatever a backbone may have in it that the exporter does not know.
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError(
            f"{config.backbone} cannot be exported ({reason}): use the checkpoint with PyTorch, or another backbone"
        ) from None
    assert program is not None
    # The exporter notes for each node where in the source it comes from, with the paths of this machine.
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    program.model.metadata_props.update(metadata)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    if weights > MAX_BYTES:
        raise ExportError("an ONNX file holds at most 2 GiB: use the checkpoint with PyTorch, or --fp16")
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
    """The exporter reports its progress, and advises those who maintain it."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
