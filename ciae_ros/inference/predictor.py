# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""From an image to a panoptic result on one device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ciae_ros.inference.checkpoint import Checkpoint
from ciae_ros.inference.device_settings import DeviceSettings
from ciae_ros.inference.fusing import FusedImage, fuse
from ciae_ros.inference.geometry import ImageGeometry, image_geometry
from ciae_ros.inference.network import NetworkOutputs, build_network, candidates_of, propose
from ciae_ros.inference.onnx_model import OnnxModel
from ciae_ros.inference.preprocessing import ChannelOrder, preprocess
from ciae_ros.inference.proposals import Proposals
from ciae_ros.inference.result import PanopticResult
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.inference.stage_times import HostClock, StageClock, StageTimes
from ciae_ros.inference.triton_support import runs_triton

ResultSize = Literal["input", "network"]
"""Of a panoptic result: that of the image, or that of the image as the network sees it."""

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Precisions by their names."""


class Predictor:
    """Holds a model on a device and segments images.

    `predict` does all stages of an image one after the other and waits for each; `StreamPipeline` overlaps them.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | OnnxModel,
        device: str = "cpu",
        precision: str = "fp32",
        settings: InferenceSettings | None = None,
        input_size: int | None = None,
        result_size: ResultSize = "input",
        compile_network: bool = False,
    ) -> None:
        """Take over the checkpoint's model: it is moved to the device and its batch normalisations are folded.

        Args:
            checkpoint: loaded or untrained, or an exported model, which ONNX Runtime runs.
            device: as PyTorch names it: "cpu", "cuda", "cuda:1".
            precision: of weights and activations: fp32, fp16 or bf16. Fusing is always done in float32.
            settings: thresholds; the checkpoint's own if None.
            input_size: length of the shorter side in the network, in pixels; the model's own if None.
            result_size: "input": as large as the image; "network": as the image in the network, without padding.
            compile_network: have `torch.compile` make kernels for each padded size when it first comes: slow.

        Raises:
            ValueError: there is no such device, or it does not have the precision, or no such result size.
            CheckpointError: ONNX Runtime cannot run the exported model on the device or in the precision.
        """
        if result_size not in get_args(ResultSize):
            raise ValueError(f"unknown result size {result_size!r}: use one of {', '.join(get_args(ResultSize))}")
        self.device = _checked_device(device, precision)
        self.categories = checkpoint.categories
        self.name = checkpoint.name
        self.digest = checkpoint.digest
        self.default_settings = checkpoint.settings
        self.settings = settings or self.default_settings
        self.result_size = result_size
        self.precision = precision
        self.dtype = DTYPES[precision]
        """Of weights and activations."""
        self._network = build_network(checkpoint, self.device, self.dtype, compile_network)
        config = self._network.config
        self.config = config if input_size is None else config.at_input_size(input_size)
        self._settings_on_device: dict[tuple[int, int], DeviceSettings] = {}

    @property
    def has_fixed_shapes(self) -> bool:
        """Is `compute` without any shape that depends on the data, so that it never waits for the device?"""
        return runs_triton(self.device)

    @property
    def way(self) -> str:
        """How the network runs, for people."""
        return self._network.runtime or "eager"

    @property
    def can_be_captured(self) -> bool:
        """Can the network be captured into a CUDA graph?"""
        return self._network.can_be_captured

    @property
    def device_name(self) -> str:
        """For people: "cpu", or what the CUDA device calls itself; and what runs the network there, if not PyTorch."""
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        return f"{device}, {self._network.runtime}" if self._network.runtime else device

    def geometry(self, height: int, width: int) -> ImageGeometry:
        """How an image of this size goes through the network."""
        return image_geometry(height, width, self.config.input_size, self.config.max_input_size)

    def predict(self, image: np.ndarray, channel_order: ChannelOrder = "rgb") -> PanopticResult:
        """Segment one image.

        Args:
            image: (H, W, 3) uint8, or with more channels, which are ignored, or (H, W, 1) for "mono". Any strides.
            channel_order: of the first three channels.

        Returns:
            The segments at the size of the image.

        Raises:
            ValueError: the array is not such an image.
        """
        return self.predict_timed(image, channel_order)[0]

    def predict_timed(
        self, image: np.ndarray, channel_order: ChannelOrder = "rgb"
    ) -> tuple[PanopticResult, StageTimes]:
        """As `predict`, with the time of each stage."""
        (result,), times = self.predict_batch([(image, channel_order)])
        return result, times

    @torch.inference_mode()
    def predict_batch(
        self, images: Sequence[tuple[np.ndarray, ChannelOrder]]
    ) -> tuple[list[PanopticResult], StageTimes]:
        """Segment images that have the same padded size in the network (`geometry`) at once.

        Args:
            images: at least one, each with its channel order as `predict` takes them.

        Returns:
            The results in the order of the images, and the time of each stage for all of them together.

        Raises:
            ValueError: an array is not such an image, or the padded sizes differ.
        """
        geometries = self.check_batch(images)
        clock = HostClock(self.device)
        on_device = [(torch.from_numpy(image).to(self.device), order) for image, order in images]
        batch = self.preprocess(on_device, geometries)
        clock.lap()
        fused = self.compute(batch, geometries, self.settings_on_device(self.settings), clock)
        results = [image.to_result(self.categories) for image in fused]
        clock.lap()
        return results, StageTimes(*clock.laps)

    @torch.inference_mode()
    def embed(self, image: np.ndarray, channel_order: ChannelOrder = "rgb") -> np.ndarray:
        """The embedding map of an image, before normalisation, to be looked at (Fig. 4c).

        Args:
            image: as for `predict`.
            channel_order: as for `predict`.

        Returns:
            (D, h, w) float32 at stride 4, with the padding on the right and below.

        Raises:
            ValueError: the array is not such an image.
        """
        geometries = self.check_batch([(image, channel_order)])
        batch = self.preprocess([(torch.from_numpy(image).to(self.device), channel_order)], geometries)
        return self._network(batch).embedding[0].float().cpu().numpy()

    def check_batch(self, images: Sequence[tuple[np.ndarray, ChannelOrder]]) -> list[ImageGeometry]:
        """How each of the images goes through the network.

        Raises:
            ValueError: there is none, an array is not such an image, or the padded sizes differ.
        """
        for image, channel_order in images:
            _check_image(image, channel_order)
        geometries = [self.geometry(*image.shape[:2]) for image, _ in images]
        if len({geometry.padded for geometry in geometries}) != 1:
            raise ValueError("the images of a batch must have one padded size")
        return geometries

    @torch.inference_mode()
    def preprocess(self, images: Sequence[tuple[Tensor, ChannelOrder]], geometries: Sequence[ImageGeometry]) -> Tensor:
        """First stage: images (H, W, C) uint8 on the device to the network's input (B, 3, H', W')."""
        inputs = [
            preprocess(image, order, geometry, self.config, self.dtype)
            for (image, order), geometry in zip(images, geometries, strict=True)
        ]
        return torch.cat(inputs) if len(inputs) > 1 else inputs[0]

    @torch.inference_mode()
    def compute(
        self,
        batch: Tensor,
        geometries: Sequence[ImageGeometry],
        settings: InferenceSettings | DeviceSettings,
        clock: StageClock,
    ) -> list[FusedImage]:
        """Second stage: the network, its proposals and fusing; laps the clock after each of these.

        Args:
            batch: from `preprocess`.
            geometries: of its images.
            settings: from `settings_on_device`.
            clock: is lapped three times.

        Returns:
            The images as they lie on the device.
        """
        outputs = self._network(batch)
        clock.lap()
        proposals = self._propose(outputs, geometries, settings)
        clock.lap()
        fused = [
            self._fuse(outputs, index, found, geometry, settings)
            for index, (found, geometry) in enumerate(zip(proposals, geometries, strict=True))
        ]
        clock.lap()
        return fused

    def settings_on_device(self, settings: InferenceSettings) -> InferenceSettings | DeviceSettings:
        """What `compute` takes. On a CUDA device the thresholds count for what is launched there from now on."""
        if not self.has_fixed_shapes:
            return settings
        counts = settings.max_proposals_per_level, settings.max_instances
        on_device = self._settings_on_device.setdefault(counts, DeviceSettings(settings, self.device))
        on_device.take_over(settings)
        return on_device

    def result_geometry(self, geometry: ImageGeometry) -> ImageGeometry:
        """With the size of the result in place of the image's."""
        return geometry.at_network_size() if self.result_size == "network" else geometry

    def _propose(
        self, outputs: NetworkOutputs, geometries: Sequence[ImageGeometry], settings: InferenceSettings | DeviceSettings
    ) -> list[Proposals]:
        if isinstance(settings, InferenceSettings):
            return [propose(outputs, index, geometry.resized, settings) for index, geometry in enumerate(geometries)]
        # Triton is not installed everywhere.
        from ciae_ros.inference.slot_proposals import propose_in_slots  # noqa: PLC0415

        candidates = candidates_of(outputs, settings.max_proposals_per_level)
        return [
            propose_in_slots(
                candidates,
                index,
                geometry.resized,
                settings.score_threshold,
                settings.nms_threshold,
                settings.max_instances,
            )
            for index, geometry in enumerate(geometries)
        ]

    def _fuse(
        self,
        outputs: NetworkOutputs,
        index: int,
        proposals: Proposals,
        geometry: ImageGeometry,
        settings: InferenceSettings | DeviceSettings,
    ) -> FusedImage:
        min_stuff_area: float | Tensor = settings.min_stuff_area
        if self.result_size == "network":
            # The setting is in pixels of the camera's image.
            min_stuff_area = settings.min_stuff_area * geometry.scale_y * geometry.scale_x
        return fuse(
            outputs.embedding[index],
            proposals,
            self._network.memory,
            self.config,
            min_stuff_area,
            self.result_geometry(geometry),
            outputs.semantic_logits_of(index),
        )

    def reserved_bytes(self) -> int | None:
        """Memory of a CUDA device that PyTorch holds for this process; None on the CPU."""
        return torch.cuda.memory_reserved(self.device) if self.device.type == "cuda" else None

    def check_device(self) -> None:
        """Use the device for next to nothing and wait for it.

        Raises:
            RuntimeError: it does not answer any more: after some errors every further call on a CUDA context fails.
        """
        probe = torch.ones(1, device=self.device)
        if float(probe + probe) != 2.0:
            raise RuntimeError(f"device {self.device} adds wrongly")


def _checked_device(device: str, precision: str) -> torch.device:
    """The device, if it is there and has the precision.

    Raises:
        ValueError: with what to choose instead.
    """
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"unknown device {device!r}: use cpu, cuda or cuda:N") from None
    if precision not in DTYPES:
        raise ValueError(f"unknown precision {precision!r}: use one of {', '.join(DTYPES)}")
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is not supported: use cpu, cuda or cuda:N")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {device!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    if found.type == "cuda" and precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(f"device {device!r} has no bf16: use fp16")
    if found.type == "cpu" and precision == "fp16":
        raise ValueError("fp16 is not for the CPU: use fp32 or bf16")
    return found


def _check_image(image: np.ndarray, channel_order: ChannelOrder) -> None:
    channels = 1 if channel_order == "mono" else 3
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] < channels:
        raise ValueError(f"not an (H, W, {channels}) uint8 image: {image.shape} {image.dtype}")
