# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""One batch on its way through a `StreamPipeline` on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError

import torch
from torch import Tensor

from ciae_ros.inference.batch_types import Answer, Images
from ciae_ros.inference.fusing import FusedImage
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.lanes import ThreadMark
from ciae_ros.inference.predictor import Predictor
from ciae_ros.inference.result import PanopticResult
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.inference.stage_times import HostClock, StageTimes


class HostSlot:
    """Holds what one stage leaves for the next. The memory is the allocator's, which keeps what is freed."""

    def __init__(
        self, predictor: Predictor, uploaded: ThreadMark, computed: ThreadMark, downloaded: ThreadMark
    ) -> None:
        self._predictor = predictor
        self.uploaded, self.computed, self.downloaded = uploaded, computed, downloaded
        self.loading = 0.0
        """Seconds that `load` took."""
        self.clear()

    def clear(self) -> None:
        """Forget the batch."""
        self._images: Images = ()
        self._batch: Tensor | None = None
        self._fused: list[FusedImage] = []
        self._results: list[PanopticResult] = []

    def load(
        self, images: Images, geometries: Sequence[ImageGeometry], settings: InferenceSettings, answer: Answer
    ) -> None:
        """Take over a batch."""
        self._images, self._geometries, self._settings, self._answer = images, geometries, settings, answer

    def upload(self) -> None:
        """First stage: the network's input."""
        images = [(torch.from_numpy(image), order) for image, order in self._images]
        self._batch = self._predictor.preprocess(images, self._geometries)

    def compute(self) -> None:
        """Second stage: network and fusing, unless nobody wants the answer any more."""
        if not self._answer.set_running_or_notify_cancel():
            raise CancelledError
        assert self._batch is not None
        self._clock = HostClock(torch.device("cpu"))
        self._fused = self._predictor.compute(self._batch, self._geometries, self._settings, self._clock)
        self._batch = None

    def forget(self) -> None:
        """Nothing is reserved for kinds of batches."""

    def capture(self) -> str:
        """Nothing can be captured on a CPU. Returns how batches run."""
        return self._predictor.way

    def download(self) -> None:
        """Third stage: the panoptic results."""
        self._results = [image.to_result(self._predictor.categories) for image in self._fused]

    def results(self) -> list[PanopticResult]:
        """In the order of the images."""
        return self._results

    def times(self, finishing: float) -> StageTimes:
        """Of each stage; to be asked after `downloaded.wait()`. `finishing`: seconds that the last one took besides."""
        network, proposals, fusing = self._clock.laps
        download = self.downloaded.seconds() + finishing
        return StageTimes(self.loading + self.uploaded.seconds(), network, proposals, fusing, download)
