# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""What the benchmark `networks` needs to know of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ciae_ros.benchmark.measuring import Clock
from ciae_ros.inference.geometry import ImageGeometry, image_geometry
from ciae_ros.inference.predictor import DTYPES
from ciae_ros.inference.preprocessing import preprocess
from ciae_ros.model import ModelConfig


@dataclass(frozen=True)
class Setup:
    """The same for all contestants of a run."""

    device: str
    precision: str
    """fp32, fp16 or bf16."""
    instances: int
    """Random weights give arbitrary counts: at about so many the outputs of all contestants are aimed."""
    scale: float = 1.0
    """Factor on the size of every network's input, to try the benchmark with."""

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    def input_size(self, size: int) -> int:
        """Shorter (or longer) side, scaled to a multiple of 32."""
        return size if self.scale == 1 else max(64, round(size * self.scale / 32) * 32)

    def autocast(self) -> AbstractContextManager[Any]:
        """For networks whose own code does not run in half precision throughout."""
        enabled = self.precision != "fp32"
        return torch.autocast(self.torch_device.type, DTYPES[self.precision] if enabled else None, enabled=enabled)


@dataclass(frozen=True)
class StageSeconds:
    """Seconds of one image, from its pixels on the host to the result on the host."""

    preprocess: float
    """Upload, resize, normalise, pad."""
    network: float
    """To its raw outputs; for a two-stage network, to boxes and the masks in them."""
    postprocess: float
    """From the raw outputs to the result on the host."""

    @property
    def total(self) -> float:
        return self.preprocess + self.network + self.postprocess


class Contestant(ABC):
    """One network with random weights, ready on its device. Images are (H, W, 3) uint8 RGB."""

    name: str
    input: str
    """Size of the network's input, for people."""
    settings: str
    """What is timed, and how the number of its detections is limited."""
    module: nn.Module

    @abstractmethod
    def aim(self, image: np.ndarray) -> None:
        """Choose thresholds or weights such that about `Setup.instances` instances are found in the image."""

    @abstractmethod
    def run(self, image: np.ndarray) -> tuple[StageSeconds, int]:
        """Segment one image; its times, and the number of instances and other segments that were found."""

    @abstractmethod
    def preprocess(self, image: np.ndarray) -> Any:
        """The network's input."""

    @abstractmethod
    def network(self, inputs: Any) -> Any:
        """Its raw outputs."""


class StagedContestant(Contestant):
    """One that is run stage by stage."""

    setup: Setup

    @abstractmethod
    def postprocess(self, outputs: Any, size: tuple[int, int]) -> int:
        """Make the result of an image of this height and width, on the host; how many segments it has."""

    @torch.inference_mode()
    def run(self, image: np.ndarray) -> tuple[StageSeconds, int]:
        """Segment one image, with each stage's time."""
        clock = Clock(self.setup.torch_device)
        inputs = self.preprocess(image)
        preprocess_time = clock.lap()
        outputs = self.network(inputs)
        network_time = clock.lap()
        segments = self.postprocess(outputs, image.shape[:2])
        return StageSeconds(preprocess_time, network_time, clock.lap()), segments


def imagenet_input(image: np.ndarray, geometry: ImageGeometry, device: str) -> Tensor:
    """CIAE's own pre-processing for the peers too: theirs are slower, and are not what is compared."""
    return preprocess(torch.from_numpy(image).to(device), "rgb", geometry, ModelConfig(), torch.float32)


def geometry_of(image: np.ndarray, shorter: int, longer: int) -> ImageGeometry:
    """An image's geometry for these bounds."""
    height, width = image.shape[:2]
    return image_geometry(height, width, shorter, longer)


Builder = Callable[[Setup], Contestant]
