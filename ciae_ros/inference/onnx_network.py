# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The network in ONNX Runtime. Inputs and outputs are PyTorch's tensors, bound where they lie."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ciae_ros.inference.candidate_outputs import CandidateOutputs
from ciae_ros.inference.candidates import Candidates
from ciae_ros.inference.checkpoint import CheckpointError
from ciae_ros.inference.onnx_model import INPUT, SEMANTIC_LOGITS, OnnxModel, onnxruntime, open_session

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
ELEMENTS = {
    "tensor(float)": (np.float32, torch.float32),
    "tensor(float16)": (np.float16, torch.float16),
    "tensor(int64)": (np.int64, torch.int64),
}
"""NumPy's and PyTorch's types by ONNX Runtime's names."""

ENGINES = Path("~/.cache/ciae_ros/tensorrt")
"""Folder of the engines that TensorRT has built: the next start finds them."""


class OnnxNetwork:
    """An exported network on a device."""

    can_be_captured = False

    def __init__(self, model: OnnxModel, device: torch.device, dtype: torch.dtype) -> None:
        """Open it.

        Args:
            model: that is to be run.
            device: "cpu" or a CUDA device, which is there.
            dtype: of weights and activations; must be the file's.

        Raises:
            CheckpointError: the file has another precision, or ONNX Runtime does not have the device's provider, or
                would run the network with another one.
        """
        if dtype != DTYPES[model.precision]:
            raise CheckpointError(
                f"{model.path} was exported in {model.precision}: set precision to auto or {model.precision}"
                + (" on a CUDA device" if model.precision == "fp16" else ", or export it with --fp16 for CUDA devices")
            )
        self.config = model.config
        self._model, self._device = model, device
        self._session = _open(model, device)
        self.memory = copy.deepcopy(model.memory).to(device, dtype)
        self._outputs = self._session.get_outputs()
        provider = self._session.get_providers()[0]
        self.runtime = f"ONNX Runtime {onnxruntime().__version__} ({provider})"

    def __call__(self, batch: Tensor) -> CandidateOutputs:
        """(B, 3, H, W) normalised RGB of the exported size, one after the other, to outputs on the same device.

        Raises:
            ValueError: the size is not the exported one.
            MemoryError: the device has too little memory.
        """
        expected = self._model.input_shape
        if tuple(batch.shape[1:]) != expected[1:]:
            found, exported = (f"{shape[2]}x{shape[3]}" for shape in (batch.shape, expected))
            raise ValueError(
                f"this image is {found} (HxW) in the network, and {self._model.path.name} was exported for {exported}: "
                f"export it with --size {found}, or with --camera for the camera's size"
            )
        batch = batch.contiguous()
        outputs = {
            each.name: torch.empty(len(batch), *each.shape[1:], dtype=ELEMENTS[each.type][1], device=self._device)
            for each in self._outputs
        }
        for image in range(len(batch)):
            self._run(batch[image], {name: tensor[image] for name, tensor in outputs.items()})
        semantic_logits = outputs.pop(SEMANTIC_LOGITS, None)
        embedding = outputs.pop("embedding")
        return CandidateOutputs(
            embedding, Candidates(**outputs), self._model.settings.max_proposals_per_level, semantic_logits
        )

    def _run(self, image: Tensor, outputs: dict[str, Tensor]) -> None:
        """One image (3, H, W) through the network; its outputs are written into the tensors."""
        binding = self._session.io_binding()
        device, index = self._device.type, self._device.index or 0
        number = np.float16 if image.dtype == torch.float16 else np.float32
        binding.bind_input(INPUT, device, index, number, list(self._model.input_shape), image.data_ptr())
        for each in self._outputs:
            target = outputs[each.name]
            binding.bind_output(each.name, device, index, ELEMENTS[each.type][0], list(each.shape), target.data_ptr())
        if device == "cuda":
            # ONNX Runtime has a stream of its own: what PyTorch's still does to the tensors has to be over. It waits
            # for its own at the end of a run.
            torch.cuda.current_stream(self._device).synchronize()
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # Its exceptions share no class of their own.
            if "allocate" in str(error).lower() or "out of memory" in str(error).lower():
                raise MemoryError(" ".join(str(error).split())) from None
            raise


def _open(model: OnnxModel, device: torch.device) -> Any:
    ort = onnxruntime()
    providers = _providers(model, device)
    wanted = providers[0][0]
    if wanted not in ort.get_available_providers():
        raise CheckpointError(
            f"ONNX Runtime {ort.__version__} has no {wanted} for {device}: install onnxruntime-gpu "
            "in its place, or set device to cpu"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Between two runs its threads must not keep the cores busy that preprocessing and fusing need.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = open_session(model.path, options, providers)
    found = session.get_providers()[0]
    if found != wanted:
        # It falls back by itself when a provider's libraries do not load.
        raise CheckpointError(
            f"ONNX Runtime {ort.__version__} would run the model with {found} instead of {wanted}, whose libraries do "
            "not load: install the versions of CUDA, cuDNN or TensorRT that it was built for, or choose another device"
        )
    return session


def _providers(model: OnnxModel, device: torch.device) -> list[tuple[str, dict[str, object]]]:
    """The provider that has to run the network, and those for what it leaves over."""
    if device.type == "cpu":
        if model.tensorrt:
            raise CheckpointError("TensorRT is not for the CPU: set backend to onnx, or device to cuda")
        return [(CPU, {})]
    cuda: tuple[str, dict[str, object]] = CUDA, {"device_id": device.index or 0}
    if not model.tensorrt:
        return [cuda, (CPU, {})]
    engines = ENGINES.expanduser()
    engines.mkdir(parents=True, exist_ok=True)
    options: dict[str, object] = {
        "device_id": device.index or 0,
        "trt_fp16_enable": model.precision == "fp16",
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(engines),
    }
    return [(TENSORRT, options), cuda, (CPU, {})]
