# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A network run by ONNX Runtime; PyTorch tensors are bound as inputs and outputs without copying."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ciae_ros.core.user_cache import cache_folder
from ciae_ros.inference.loading.errors import CheckpointError
from ciae_ros.inference.loading.onnx_model import INPUT, SEMANTIC_LOGITS, OnnxModel, open_session
from ciae_ros.inference.loading.optional_runtimes import import_onnxruntime
from ciae_ros.inference.proposals.candidates import CandidateOutputs, Candidates

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
ELEMENTS = {
    "tensor(float)": (np.float32, torch.float32),
    "tensor(float16)": (np.float16, torch.float16),
    "tensor(int64)": (np.int64, torch.int64),
}
"""NumPy and PyTorch types by ONNX Runtime's names."""

ENGINES = "tensorrt"
"""Folder of the engines that TensorRT has built, in the package's cache."""


class OnnxNetwork:
    """An exported network on a device."""

    supports_graph_capture = False

    def __init__(self, model: OnnxModel, device: torch.device, dtype: torch.dtype) -> None:
        """Open the model.

        Args:
            model: the exported model.
            device: the CPU or an available CUDA device.
            dtype: type of weights and activations; must be that of the file.

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
        self.input_dtype = dtype
        self._model, self._device = model, device
        self._session = _open(model, device)
        self.memory = copy.deepcopy(model.memory).to(device, dtype)
        self._outputs = self._session.get_outputs()
        provider = self._session.get_providers()[0]
        self.runtime = f"ONNX Runtime {import_onnxruntime().__version__} ({provider})"

    def prepare(self, size: tuple[int, int]) -> None:
        """Check that the network was exported for images of this padded (height, width).

        Raises:
            ValueError: it was not.
        """
        if size != self._model.input_shape[2:]:
            found, exported = (f"{height}x{width}" for height, width in (size, self._model.input_shape[2:]))
            raise ValueError(
                f"this image is {found} (HxW) in the network, and {self._model.path.name} was exported for {exported}: "
                f"export it with --size {found}, or with --camera for the camera's size"
            )

    def __call__(self, batch: Tensor) -> CandidateOutputs:
        """Run the network on (B, 3, H, W) normalised RGB of the exported size, one image at a time.

        Raises:
            ValueError: the size is not the exported one.
            MemoryError: the device has too little memory.
        """
        self.prepare((batch.shape[2], batch.shape[3]))
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
        """Run the network on one image (3, H, W) and write its outputs into the tensors."""
        binding = self._session.io_binding()
        device, index = self._device.type, self._device.index or 0
        number = np.float16 if image.dtype == torch.float16 else np.float32
        binding.bind_input(INPUT, device, index, number, list(self._model.input_shape), image.data_ptr())
        for each in self._outputs:
            target = outputs[each.name]
            binding.bind_output(each.name, device, index, ELEMENTS[each.type][0], list(each.shape), target.data_ptr())
        if device == "cuda":
            # ONNX Runtime uses its own stream: wait until PyTorch's has finished with the tensors. ONNX Runtime
            # synchronises its own stream at the end of a run.
            torch.cuda.current_stream(self._device).synchronize()
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # ONNX Runtime's exceptions have no common base class.
            if "allocate" in str(error).lower() or "out of memory" in str(error).lower():
                raise MemoryError(" ".join(str(error).split())) from None
            raise


def _open(model: OnnxModel, device: torch.device) -> Any:
    ort = import_onnxruntime()
    providers = _providers(model, device)
    wanted = providers[0][0]
    if wanted not in ort.get_available_providers():
        raise CheckpointError(
            f"ONNX Runtime {ort.__version__} has no {wanted} for {device}: install onnxruntime-gpu "
            "in its place, or set device to cpu"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Between runs its threads must not occupy the cores that preprocessing and fusion need.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = open_session(model.path, options, providers)
    found = session.get_providers()[0]
    if found != wanted:
        # ONNX Runtime falls back silently when a provider's libraries cannot be loaded.
        raise CheckpointError(
            f"ONNX Runtime {ort.__version__} would run the model with {found} instead of {wanted}, whose libraries do "
            "not load: install the versions of CUDA, cuDNN or TensorRT that it was built for, or choose another device"
        )
    return session


def _providers(model: OnnxModel, device: torch.device) -> list[tuple[str, dict[str, object]]]:
    """Return the required provider, followed by those for operators that it does not support."""
    if device.type == "cpu":
        if model.tensorrt:
            raise CheckpointError("TensorRT does not support the CPU: set backend to onnx, or device to cuda")
        return [(CPU, {})]
    cuda: tuple[str, dict[str, object]] = CUDA, {"device_id": device.index or 0}
    if not model.tensorrt:
        return [cuda, (CPU, {})]
    engines = cache_folder(ENGINES)
    engines.mkdir(parents=True, exist_ok=True)
    options: dict[str, object] = {
        "device_id": device.index or 0,
        "trt_fp16_enable": model.precision == "fp16",
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(engines),
    }
    return [(TENSORRT, options), cuda, (CPU, {})]
