# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The interface of a backend: a network on a device, and how its outputs become segments.

Every kind of network implements it (`ciae_backend`, `mask_backend`), and the predictor uses nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from ciae_ros.inference.fusion.fused_image import FusedImage
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.input_format import InputFormat
from ciae_ros.inference.settings import DeviceSettings, InferenceSettings
from ciae_ros.inference.stage_times import StageClock

ResultSize = Literal["input", "network"]
"""Size of a panoptic result: that of the image, or that of the resized image in the network."""

Settings = InferenceSettings | DeviceSettings
"""Settings on the host, or on a CUDA device where no shape depends on the data."""


class Backend(Protocol):
    """A network on a device with its post-processing. Nothing synchronises where Triton runs."""

    @property
    def input_format(self) -> InputFormat: ...

    @property
    def runtime(self) -> str:
        """Human-readable name of the runtime; empty for PyTorch in eager mode."""

    @property
    def supports_graph_capture(self) -> bool:
        """Whether the network can be captured into a CUDA graph."""

    @property
    def input_dtype(self) -> torch.dtype:
        """Type of the network's input."""

    @property
    def embedding_dim(self) -> int:
        """Dimension of the `embedding` that the outputs of the network have; 0 if they have none."""

    def segment_on_cpu(
        self,
        outputs: Any,
        geometries: Sequence[ImageGeometry],
        settings: InferenceSettings,
        result_size: ResultSize,
    ) -> list[FusedImage]:
        """Do what `segment` does with the operators of the CPU, for a comparison."""

    def confidence_size(self, geometry: ImageGeometry) -> tuple[int, int]:
        """Return the size of `FusedImage.confidence` of an image; 0, 0 if there is none."""

    def max_segments(self, settings: InferenceSettings) -> int:
        """Return the maximum number of rows of `FusedImage.table`."""

    def prepare(self, size: tuple[int, int]) -> None:
        """Do once what images of this padded (height, width) need, such as compiling the network for them.

        Raises:
            ValueError: the network does not support images of this size.
        """

    def run_network(self, batch: Tensor) -> Any:
        """Run the network.

        Args:
            batch: (B, 3, H, W) normalised RGB in the `input_format`, on the device and of the `input_dtype`.

        Returns:
            What `segment` takes.

        Raises:
            ValueError: the network does not support images of this size.
        """

    def segment(
        self,
        outputs: Any,
        geometries: Sequence[ImageGeometry],
        settings: Settings,
        result_size: ResultSize,
        clock: StageClock,
    ) -> list[FusedImage]:
        """Turn the outputs of a batch into segments.

        Args:
            outputs: from `run_network`.
            geometries: geometry of each image.
            settings: thresholds.
            result_size: size of the results.
            clock: lapped after the instances have been selected, and after the pixels have been assigned.
        """


def result_geometry(geometry: ImageGeometry, result_size: ResultSize) -> ImageGeometry:
    """Return the geometry with the size of the result as the original size."""
    return geometry.at_network_size() if result_size == "network" else geometry


def min_stuff_area(settings: Settings, geometry: ImageGeometry, result_size: ResultSize) -> float | Tensor:
    """Return the setting, which is in pixels of the camera's image, in pixels of the result."""
    if result_size == "network":
        return settings.min_stuff_area * geometry.scale_y * geometry.scale_x
    return settings.min_stuff_area
