# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Conversion of a checkpoint's network to OpenVINO's intermediate representation, for any size of the input."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ciae_ros.inference.conversion.errors import ExportError
from ciae_ros.inference.loading.checkpoint import Checkpoint
from ciae_ros.inference.loading.optional_runtimes import import_openvino
from ciae_ros.inference.networks.fold_batch_norm import fold_batch_norm
from ciae_ros.inference.networks.openvino_network import OpenVinoNetwork, flatten_outputs
from ciae_ros.model import CIAE
from ciae_ros.model.strides import SIZE_DIVISOR

TRACED_SIZE = 6 * SIZE_DIVISOR, 8 * SIZE_DIVISOR
"""(height, width) of the image with which the network is traced."""
COMPARED_SIZE = 5 * SIZE_DIVISOR, 4 * SIZE_DIVISOR
"""(height, width) with which it is compared: another one, with odd heights of the coarse levels."""

TOLERANCE = 1e-3
"""Maximum difference of the embedding map from PyTorch's in float32, relative to its largest value."""


class _ConvertedNetwork(nn.Module):
    """The network with its image and its embedding map channels last, in which OpenVINO computes convolutions."""

    def __init__(self, model: CIAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return flatten_outputs(self.model(images.permute(0, 3, 1, 2)))


def convert_to_openvino(checkpoint: Checkpoint, path: Path) -> None:
    """Convert the network, and compare it with PyTorch.

    Args:
        checkpoint: not modified.
        path: path of the .xml file; the weights are written beside it, with the suffix .bin.

    Raises:
        CheckpointError: OpenVINO is not installed.
        ExportError: OpenVINO cannot convert the network, or its results differ from PyTorch's.
        OSError: the files cannot be written.
    """
    openvino = import_openvino()
    model = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
    fold_batch_norm(model.backbone)
    network = _ConvertedNetwork(model).eval()
    generator = torch.Generator().manual_seed(0)
    traced, compared = (torch.randn(1, *size, 3, generator=generator) for size in (TRACED_SIZE, COMPARED_SIZE))
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            converted = openvino.convert_model(network, example_input=traced)
    except Exception as error:  # OpenVINO's exceptions have no common base class.
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError(
            f"{model.config.backbone} cannot be converted to OpenVINO ({reason}): set backend to torch"
        ) from None
    openvino.save_model(converted, path, compress_to_fp16=False)
    with torch.inference_mode():
        expected = model(compared.permute(0, 3, 1, 2)).embedding
        found = OpenVinoNetwork(checkpoint, path, "fp32")(compared.permute(0, 3, 1, 2)).embedding
    difference = ((found - expected).abs().max() / expected.abs().max()).item()
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the network in OpenVINO {openvino.__version__} differs from PyTorch's by {difference:.2g} of its largest "
            f"value, more than {TOLERANCE}: set backend to torch"
        )
