# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""A batch of images in a `StreamPipeline`: what is submitted, what is returned, and the interface of its stages."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

import numpy as np

from ciae_ros.core.images.channel_order import ChannelOrder
from ciae_ros.core.result import PanopticResult
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.pipeline.stage_executors import StageTask
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.inference.stage_times import StageTimes

Images = Sequence[tuple[np.ndarray, ChannelOrder]]
"""The images of a batch, each as `Predictor.predict` takes it."""

BatchFuture = Future[tuple[list[PanopticResult], StageTimes]]
"""The results of a batch in the order of its images, and the time of each stage."""


class InFlightBatch(Protocol):
    """The buffers of one batch in flight; they are reused for the next batch after its results have been read."""

    @property
    def upload_task(self) -> StageTask: ...

    @property
    def compute_task(self) -> StageTask: ...

    @property
    def download_task(self) -> StageTask: ...

    load_seconds: float
    """Time that `load` took."""

    def load(
        self, images: Images, geometries: Sequence[ImageGeometry], settings: InferenceSettings, future: BatchFuture
    ) -> None:
        """Take over a batch. Raises CancelledError if its future has been cancelled."""

    def upload(self) -> None:
        """Run the first stage: make the network's input from the images."""

    def compute(self) -> None:
        """Run the second stage: network, proposals and fusion. Raises CancelledError if the future is cancelled."""

    def download(self) -> None:
        """Run the third stage: bring the results to the host."""

    def results(self) -> list[PanopticResult]:
        """Return the results in the order of the images; valid after `download_task.wait()`."""

    def stage_times(self, result_seconds: float) -> StageTimes:
        """Return the time of each stage; valid after `download_task.wait()`.

        Args:
            result_seconds: time that `results` took; it is added to the download.
        """

    def clear(self) -> None:
        """Drop the batch after its results have been read."""

    def capture(self) -> str:
        """Prepare the second stage for more batches like the last one; returns its execution mode."""

    def release_buffers(self) -> None:
        """Free all memory and graphs that are kept for further batches; only while no batch is in flight."""
