# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""One batch in flight on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError

import torch
from torch import Tensor

from ciae_ros.core.result import PanopticResult
from ciae_ros.inference.fusion.fused_image import FusedImage
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.pipeline.batch import BatchFuture, Images
from ciae_ros.inference.pipeline.stage_executors import ThreadTask
from ciae_ros.inference.predictor import Predictor
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.inference.stage_times import HostClock, StageTimes


class HostBatch:
    """An `InFlightBatch` that holds what one stage leaves for the next. Memory is reused by the allocator."""

    def __init__(
        self, predictor: Predictor, upload_task: ThreadTask, compute_task: ThreadTask, download_task: ThreadTask
    ) -> None:
        self._predictor = predictor
        self.upload_task, self.compute_task, self.download_task = upload_task, compute_task, download_task
        self.load_seconds = 0.0
        self.clear()

    def clear(self) -> None:
        self._images: Images = ()
        self._batch: Tensor | None = None
        self._fused: list[FusedImage] = []
        self._results: list[PanopticResult] = []

    def load(
        self, images: Images, geometries: Sequence[ImageGeometry], settings: InferenceSettings, future: BatchFuture
    ) -> None:
        self._images, self._geometries, self._settings, self._future = images, geometries, settings, future

    def upload(self) -> None:
        images = [(torch.from_numpy(image), order) for image, order in self._images]
        self._batch = self._predictor.preprocess(images, self._geometries)

    def compute(self) -> None:
        if not self._future.set_running_or_notify_cancel():
            raise CancelledError
        assert self._batch is not None
        self._clock = HostClock(torch.device("cpu"))
        self._fused = self._predictor.compute(self._batch, self._geometries, self._settings, self._clock)
        self._batch = None

    def download(self) -> None:
        self._results = [self._predictor.to_result(image) for image in self._fused]

    def results(self) -> list[PanopticResult]:
        return self._results

    def stage_times(self, result_seconds: float) -> StageTimes:
        network, proposals, fusion = self._clock.laps
        download = self.download_task.seconds() + result_seconds
        return StageTimes(self.load_seconds + self.upload_task.seconds(), network, proposals, fusion, download)

    def capture(self) -> str:
        """Return the execution mode; nothing can be captured on a CPU."""
        return self._predictor.execution_mode

    def release_buffers(self) -> None:
        """Do nothing: no memory is kept for further batches."""
