# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The interface of a network in the benchmark `networks`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ciae_ros.inference.precision import DTYPES
from ciae_ros.inference.stage_times import HostClock


@dataclass(frozen=True)
class Setup:
    """Settings shared by all networks of a run."""

    device: str
    precision: str
    """fp32, fp16 or bf16."""
    instances: int
    """Target number of instances in an image; random weights would give arbitrary numbers."""
    scale: float = 1.0
    """Factor on the input size of every network, for quick trials."""

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    def input_size(self, size: int) -> int:
        """Return the length of a side, scaled and rounded to a multiple of 32."""
        return size if self.scale == 1 else max(64, round(size * self.scale / 32) * 32)

    def autocast(self) -> AbstractContextManager[Any]:
        """Create an autocast context for networks whose code does not support half precision throughout."""
        enabled = self.precision != "fp32"
        return torch.autocast(self.torch_device.type, DTYPES[self.precision] if enabled else None, enabled=enabled)


@dataclass(frozen=True)
class StageSeconds:
    """Stage times of one image in seconds, from its pixels on the host to the result on the host."""

    preprocess: float
    """Upload, resize, normalise, pad."""
    network: float
    """Up to the raw outputs; of a two-stage network, up to boxes and their masks."""
    postprocess: float
    """From the raw outputs to the result on the host."""
    library_postprocess: float | None = None
    """The same by the network's library, where it is not that which runs it; not part of the total."""

    @property
    def total(self) -> float:
        return self.preprocess + self.network + self.postprocess


class Baseline(ABC):
    """A network with random weights on its device. Images are (H, W, 3) uint8 RGB."""

    name: str
    input: str
    """Human-readable size of the network's input."""
    settings: str
    """What is timed, and how the number of detections is limited."""
    module: nn.Module

    @abstractmethod
    def target_instance_count(self, image: np.ndarray) -> None:
        """Set thresholds or weights such that about `Setup.instances` instances are detected in the image."""

    @abstractmethod
    def run(self, image: np.ndarray) -> tuple[StageSeconds, int]:
        """Segment an image; returns its times and the number of segments."""

    @abstractmethod
    def preprocess(self, image: np.ndarray) -> Any:
        """Create the network's input from an image."""

    @abstractmethod
    def network(self, inputs: Any) -> Any:
        """Compute the raw outputs."""


class StagedBaseline(Baseline):
    """A network that is run stage by stage."""

    setup: Setup

    @abstractmethod
    def postprocess(self, outputs: Any, size: tuple[int, int]) -> int:
        """Create the result of an image of this height and width on the host; returns the number of segments."""

    @torch.inference_mode()
    def run(self, image: np.ndarray) -> tuple[StageSeconds, int]:
        """Segment one image and time each stage."""
        clock = HostClock(self.setup.torch_device)
        inputs = self.preprocess(image)
        preprocess_time = clock.lap()
        outputs = self.network(inputs)
        network_time = clock.lap()
        segments = self.postprocess(outputs, image.shape[:2])
        return StageSeconds(preprocess_time, network_time, clock.lap()), segments


Builder = Callable[[Setup], Baseline]
