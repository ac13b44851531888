# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A network run by OpenVINO on a CPU; PyTorch tensors are bound as inputs and outputs without copying."""

from __future__ import annotations

import copy
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ciae_ros.inference.loading.checkpoint import Checkpoint
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.optional_runtimes import import_openvino
from ciae_ros.model import RawOutputs
from ciae_ros.model.strides import PROPOSAL_STRIDES

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of the precisions."""

MAX_SIZES = 16
"""Maximum number of input sizes for which a compiled network is kept."""


class OpenVinoNetwork:
    """A converted network, compiled for each size of its input."""

    supports_graph_capture = False
    input_dtype = torch.float32

    def __init__(self, checkpoint: Checkpoint, path: Path, precision: str) -> None:
        """Read the converted network.

        Args:
            checkpoint: the checkpoint from which it was converted; its memory is copied.
            path: an .xml file that `convert_to_openvino` has written.
            precision: precision of weights and activations: fp32 or bf16. Inputs and outputs are float32.

        Raises:
            CheckpointError: OpenVINO is not installed or cannot read the file, or has no such precision.
        """
        if precision not in PRECISIONS:
            raise CheckpointError(f"OpenVINO cannot run a network in {precision} here: set precision to auto or fp32")
        self._openvino = import_openvino()
        self.config = checkpoint.config
        self.memory = copy.deepcopy(checkpoint.memory).float()
        self.runtime = f"OpenVINO {self._openvino.__version__.partition('-')[0]}"
        self._core = self._openvino.Core()
        self._options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        try:
            self._model = self._core.read_model(path)
        except RuntimeError as error:
            raise CheckpointError(f"{path} cannot be read by {self.runtime} ({_first_line(error)})") from None
        self._requests: OrderedDict[tuple[int, int], Any] = OrderedDict()

    def prepare(self, size: tuple[int, int]) -> None:
        """Compile the network for images of this padded (height, width).

        Raises:
            CheckpointError: OpenVINO cannot run it on this processor.
        """
        self._request(size)

    def __call__(self, batch: Tensor) -> RawOutputs:
        """Run the network on (B, 3, H, W) float32 normalised RGB, one image at a time."""
        request = self._request((batch.shape[2], batch.shape[3]))
        images = batch.permute(0, 2, 3, 1).contiguous()
        outputs = [torch.empty(len(batch), *tuple(output.shape)[1:]) for output in request.get_compiled_model().outputs]
        for index in range(len(batch)):
            request.set_input_tensor(self._bound(images[index : index + 1]))
            for place, output in enumerate(outputs):
                request.set_output_tensor(place, self._bound(output[index : index + 1]))
            request.infer()
        return unflatten_outputs(outputs)

    def _bound(self, tensor: Tensor) -> Any:
        return self._openvino.Tensor(tensor.numpy(), shared_memory=True)

    def _request(self, size: tuple[int, int]) -> Any:
        """Return the inference request for a size; the least recently used ones are dropped."""
        if size in self._requests:
            self._requests.move_to_end(size)
            return self._requests[size]
        model = self._model.clone()
        model.reshape([1, *size, 3])
        try:
            request = self._core.compile_model(model, "CPU", self._options).create_infer_request()
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.runtime} cannot run the network on this processor ({_first_line(error)}): set backend and "
                "precision to auto"
            ) from None
        self._requests[size] = request
        if len(self._requests) > MAX_SIZES:
            self._requests.popitem(last=False)
        return request


def flatten_outputs(outputs: RawOutputs) -> tuple[Tensor, ...]:
    """Return the outputs as `unflatten_outputs` takes them: the embedding map channels last, as fusion reads it."""
    semantic_logits = [] if outputs.semantic_logits is None else [outputs.semantic_logits]
    embedding = outputs.embedding.permute(0, 2, 3, 1)
    return (embedding, *outputs.class_logits, *outputs.centerness, *outputs.box_distances, *semantic_logits)


def unflatten_outputs(outputs: list[Tensor]) -> RawOutputs:
    """Return the outputs that `flatten_outputs` has flattened."""
    levels = len(PROPOSAL_STRIDES)
    embedding, rest = outputs[0], outputs[1:]
    return RawOutputs(
        class_logits=rest[:levels],
        centerness=rest[levels : 2 * levels],
        box_distances=rest[2 * levels : 3 * levels],
        embedding=embedding.permute(0, 3, 1, 2),
        semantic_logits=rest[3 * levels] if len(rest) > 3 * levels else None,
    )


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
