# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The predictor: from an image to a panoptic result on one device."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from ciae_ros.core.images.channel_order import ChannelOrder
from ciae_ros.core.result import PanopticResult
from ciae_ros.inference.backends.backend import ResultSize, Settings, result_geometry
from ciae_ros.inference.backends.building import build_backend
from ciae_ros.inference.category_map import CategoryMap
from ciae_ros.inference.device_choice import checked_device
from ciae_ros.inference.fusion.fused_image import FusedImage, result_from_table
from ciae_ros.inference.fusion.triton_support import refuse_triton, runs_triton
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.loading.named_models import TORCH, Model
from ciae_ros.inference.preprocessing import preprocess
from ciae_ros.inference.self_test import check_input, fault_of
from ciae_ros.inference.settings import DeviceSettings, InferenceSettings
from ciae_ros.inference.stage_times import HostClock, StageClock, StageTimes


class Predictor:
    """Segments images with a model on a device.

    `predict` runs the stages of an image sequentially and synchronises after each; `StreamPipeline` overlaps them.
    """

    def __init__(
        self,
        model: Model,
        device: str = "cpu",
        precision: str = "fp32",
        settings: InferenceSettings | None = None,
        input_size: int | None = None,
        result_size: ResultSize = "input",
        compile_network: bool = False,
        category_map: CategoryMap | None = None,
        runtime: str = TORCH,
    ) -> None:
        """Take over the model: move it to the device and fold its batch normalisations.

        Args:
            model: a loaded or untrained checkpoint, an exported model, which ONNX Runtime runs, or one of transformers.
            device: PyTorch device name: "cpu", "cuda", "cuda:1".
            precision: precision of weights and activations: fp32, fp16 or bf16. Fusion always uses float32.
            settings: thresholds; those of the checkpoint if None.
            input_size: length of the shorter side in the network, in pixels; that of the model if None.
            result_size: "input": size of the image; "network": size of the resized image, without padding.
            compile_network: compile the network with `torch.compile`, slowly, for each padded size that occurs.
            category_map: map to the categories of the results; None for those of the model.
            runtime: what runs the network of a checkpoint: torch, onnx, openvino or tensorrt. For other models than
                those of PyTorch it converts the network, which takes seconds at first (`converted_models`).

        Raises:
            ValueError: the device does not exist or does not support the precision, the result size is unknown, or the
                network does not support the input size.
            CheckpointError: the runtime cannot run the model on the device or in the precision.
            CategoryMapError: the map names none of the model's categories.
        """
        if result_size not in get_args(ResultSize):
            raise ValueError(f"unknown result size {result_size!r}: use one of {', '.join(get_args(ResultSize))}")
        self.device = checked_device(device, precision)
        self._model_categories = model.categories
        self.map_digest = category_map.digest if category_map else None
        """Identifier of the map to the categories of the results; None without one."""
        self._category_map = category_map and category_map.for_model(model.categories.categories)
        self.categories = category_map.categories if category_map else model.categories
        """Categories of the results."""
        self.name = model.name
        self.digest = model.digest
        self.default_settings = model.settings
        self.settings = settings or self.default_settings
        self.result_size = result_size
        self.precision = precision
        self.is_compiled = compile_network
        """Whether `torch.compile` compiles the network."""
        self.execution_reason = ""
        """Why this runtime and precision were chosen, human-readable; set by who has chosen them."""
        self.backend = build_backend(model, self.device, precision, input_size, compile_network, runtime)
        self.dtype = self.backend.input_dtype
        """Type of the network's input."""
        self._settings_on_device: dict[tuple[int, int], DeviceSettings] = {}
        # The first batch is checked, unless a pipeline does so.
        self._is_untried = self.has_fixed_shapes

    @property
    def has_fixed_shapes(self) -> bool:
        """Whether no shape in `compute` depends on the data, so that it never synchronises with the device."""
        return runs_triton(self.device)

    @property
    def execution_mode(self) -> str:
        """How the network is executed, human-readable."""
        return self.backend.runtime or "eager"

    @property
    def supports_graph_capture(self) -> bool:
        """Whether the network can be captured into a CUDA graph."""
        return self.backend.supports_graph_capture

    @property
    def device_name(self) -> str:
        """Human-readable: "cpu" or the name of the CUDA device, and the runtime of the network unless it is PyTorch."""
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        return f"{device}, {self.backend.runtime}" if self.backend.runtime else device

    def prepare(self, height: int, width: int) -> None:
        """Do once what images of this size need, such as compiling the network; otherwise the first one is slow.

        Raises:
            ValueError: the network does not support images of this size.
            CheckpointError: the network cannot be converted for it.
        """
        geometry = self.geometry(height, width)
        if self.device.type == "cuda":
            self.backend.prepare(geometry.padded)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="ciae-prepare") as other:
            prepared = other.submit(self.backend.prepare, geometry.padded)
            # Meanwhile, Numba loads what every kernel needs, which takes as long as OpenVINO's compilation.
            self.preprocess([(torch.zeros(height, width, 3, dtype=torch.uint8), "rgb")], [geometry])
            prepared.result()

    def geometry(self, height: int, width: int) -> ImageGeometry:
        """Return the geometry of an image of this size."""
        return self.backend.input_format.geometry(height, width)

    def predict(self, image: np.ndarray, channel_order: ChannelOrder = "rgb") -> PanopticResult:
        """Segment one image.

        Args:
            image: (H, W, 3) uint8, or with more channels, which are ignored, or (H, W, 1) for "mono". Any strides.
            channel_order: order of the first three channels.

        Returns:
            The segments at the size of the image.

        Raises:
            ValueError: the array is not such an image.
        """
        return self.predict_timed(image, channel_order)[0]

    def predict_timed(
        self, image: np.ndarray, channel_order: ChannelOrder = "rgb"
    ) -> tuple[PanopticResult, StageTimes]:
        """Segment one image, as `predict` does, and time each stage."""
        (result,), times = self.predict_batch([(image, channel_order)])
        return result, times

    @torch.inference_mode()
    def predict_batch(
        self, images: Sequence[tuple[np.ndarray, ChannelOrder]]
    ) -> tuple[list[PanopticResult], StageTimes]:
        """Segment images of the same padded size (`geometry`) as one batch.

        Args:
            images: at least one, each with its channel order as `predict` takes them.

        Returns:
            The results in the order of the images, and the time of each stage for the whole batch.

        Raises:
            ValueError: an array is not such an image, or the padded sizes differ.
        """
        geometries = self.check_batch(images)
        self.backend.prepare(geometries[0].padded)
        clock = HostClock(self.device)
        on_device = [(torch.from_numpy(image).to(self.device), order) for image, order in images]
        batch = self.preprocess(on_device, geometries)
        clock.lap()
        fused = self.compute(batch, geometries, self.settings_on_device(self.settings), clock)
        results = [self.to_result(image) for image in fused]
        clock.lap()
        if self._is_untried:
            self._is_untried = False
            fault = fault_of(results, self.plain_results(images, self.settings), f"Triton on {self.device}")
            if fault:
                self.use_plain_operators(fault)
                return self.predict_batch(images)
        return results, StageTimes(*clock.laps)

    @torch.inference_mode()
    def plain_results(
        self, images: Sequence[tuple[np.ndarray, ChannelOrder]], settings: InferenceSettings, count: int | None = None
    ) -> list[PanopticResult]:
        """Segment a batch with the network in eager mode, and proposals and fusion by the operators of the CPU.

        Args:
            images: as for `predict_batch`.
            settings: thresholds.
            count: number of images whose results are returned, the first ones; all if None.

        Raises:
            SelfTestError: the preprocessing on the device differs from that on the CPU.
            NotFiniteError: the network's output is not finite.
        """
        geometries = self.check_batch(images)
        on_host = [(torch.from_numpy(image), order) for image, order in images]
        batch = self.preprocess([(image.to(self.device), order) for image, order in on_host], geometries)
        check_input(batch, self.preprocess(on_host, geometries).float(), self.backend.input_format.pixel_std)
        outputs = self.run_network(batch)
        fused = self.backend.segment_on_cpu(outputs, geometries[:count], settings, self.result_size)
        return [self.to_result(image) for image in fused]

    def use_plain_operators(self, fault: str) -> None:
        """Use PyTorch's operators instead of Triton on this device from now on; `fault` is the reason, for the log."""
        refuse_triton(self.device, fault)
        self.execution_reason = f"plain PyTorch, because {fault}"
        logging.getLogger(__name__).warning("%s: it is not used from now on, and fusion is slower", fault)

    @torch.inference_mode()
    def embed(self, image: np.ndarray, channel_order: ChannelOrder = "rgb") -> np.ndarray:
        """Return the embedding map of an image before normalisation, for visualisation (Fig. 4c).

        Args:
            image: as for `predict`.
            channel_order: as for `predict`.

        Returns:
            (D, h, w) float32 at stride 4, including the padding on the right and at the bottom.

        Raises:
            ValueError: the array is not such an image, or the network has no embedding.
        """
        if not self.backend.embedding_dim:
            raise ValueError(f"the network of {self.name} has no embedding of pixels: use a CIAE model")
        geometries = self.check_batch([(image, channel_order)])
        batch = self.preprocess([(torch.from_numpy(image).to(self.device), channel_order)], geometries)
        return self.run_network(batch).embedding[0].float().cpu().numpy()

    def check_batch(self, images: Sequence[tuple[np.ndarray, ChannelOrder]]) -> list[ImageGeometry]:
        """Check the images of a batch and return their geometries.

        Raises:
            ValueError: the batch is empty, an array is not an image, or the padded sizes differ.
        """
        for image, channel_order in images:
            _check_image(image, channel_order)
        geometries = [self.geometry(*image.shape[:2]) for image, _ in images]
        if len({geometry.padded for geometry in geometries}) != 1:
            raise ValueError("the images of a batch must have one padded size")
        return geometries

    @torch.inference_mode()
    def preprocess(self, images: Sequence[tuple[Tensor, ChannelOrder]], geometries: Sequence[ImageGeometry]) -> Tensor:
        """Run the first stage: images (H, W, C) uint8 on the device to the network's input (B, 3, H', W')."""
        inputs = [
            preprocess(image, order, geometry, self.backend.input_format, self.dtype)
            for (image, order), geometry in zip(images, geometries, strict=True)
        ]
        return torch.cat(inputs) if len(inputs) > 1 else inputs[0]

    @torch.inference_mode()
    def compute(
        self,
        batch: Tensor,
        geometries: Sequence[ImageGeometry],
        settings: Settings,
        clock: StageClock,
    ) -> list[FusedImage]:
        """Run the second stage: network, proposals and fusion; the clock is lapped after each of them.

        Args:
            batch: from `preprocess`.
            geometries: geometries of its images.
            settings: from `settings_on_device`.
            clock: lapped three times.

        Returns:
            The results on the device.
        """
        outputs = self.run_network(batch)
        clock.lap()
        return self.segment(outputs, geometries, settings, clock)

    @torch.inference_mode()
    def run_network(self, batch: Tensor) -> Any:
        """Return the outputs of the network for a batch from `preprocess`; no setting affects them."""
        return self.backend.run_network(batch)

    @torch.inference_mode()
    def segment(
        self,
        outputs: Any,
        geometries: Sequence[ImageGeometry],
        settings: Settings,
        clock: StageClock,
    ) -> list[FusedImage]:
        """Run proposals and fusion on outputs of `run_network`; the clock is lapped after each of both."""
        return self.backend.segment(outputs, geometries, settings, self.result_size, clock)

    def to_result(self, fused: FusedImage) -> PanopticResult:
        """Return the result of an image on the device, in the categories of the results."""
        return self._mapped(fused.to_result(self._model_categories))

    def result_from_table(self, label_map: np.ndarray, table: np.ndarray, confidence: np.ndarray) -> PanopticResult:
        """Return the result of a downloaded image (see `FusedImage`), in the categories of the results."""
        return self._mapped(result_from_table(label_map, table, self._model_categories, confidence))

    def _mapped(self, result: PanopticResult) -> PanopticResult:
        return self._category_map.apply(result).result if self._category_map else result

    def settings_on_device(self, settings: InferenceSettings) -> Settings:
        """Return the settings for `compute`; on a CUDA device, thresholds apply to work launched from now on."""
        if not self.has_fixed_shapes:
            return settings
        counts = settings.max_proposals_per_level, settings.max_instances
        if counts not in self._settings_on_device:
            # Only once, because the copies to the device wait for all work on the stream.
            self._settings_on_device[counts] = DeviceSettings(settings, self.device)
        on_device = self._settings_on_device[counts]
        on_device.update(settings)
        return on_device

    def result_geometry(self, geometry: ImageGeometry) -> ImageGeometry:
        """Return the geometry with the size of the result as the original size."""
        return result_geometry(geometry, self.result_size)

    def reserved_bytes(self) -> int | None:
        """Return the CUDA memory that PyTorch has reserved for this process; None on the CPU."""
        return torch.cuda.memory_reserved(self.device) if self.device.type == "cuda" else None

    def check_device(self) -> None:
        """Run a trivial computation on the device.

        Raises:
            RuntimeError: the device no longer responds; after some errors every call on a CUDA context fails.
        """
        probe = torch.ones(1, device=self.device)
        if float(probe + probe) != 2.0:
            raise RuntimeError(f"device {self.device} computes wrong sums")


def _check_image(image: np.ndarray, channel_order: ChannelOrder) -> None:
    channels = 1 if channel_order == "mono" else 3
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] < channels:
        raise ValueError(f"not an (H, W, {channels}) uint8 image: {image.shape} {image.dtype}")
