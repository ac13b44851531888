# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""One batch on its way through a `StreamPipeline` on a CUDA device."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

import numpy as np

from ciae_ros.inference.batch_types import Answer, Images
from ciae_ros.inference.device_buffers import DeviceBuffers
from ciae_ros.inference.fusing import result_of_table
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.lanes import StreamMark
from ciae_ros.inference.pinned_memory import PinnedMemory
from ciae_ros.inference.predictor import Predictor
from ciae_ros.inference.result import PanopticResult
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.inference.stage_times import StageTimes

KINDS_OF_BATCHES = 8
"""A slot keeps the buffers of so many kinds of batches that it was not warmed up for, the last ones that it had."""


class DeviceSlot:
    """Fixed buffers, used by one batch at a time: they are free again when its results have been read."""

    def __init__(
        self, predictor: Predictor, pool: Any, uploaded: StreamMark, computed: StreamMark, downloaded: StreamMark
    ) -> None:
        """Reserve nothing yet.

        Args:
            predictor: which computes.
            pool: a graph_pool_handle that the slots of a pipeline have in common.
            uploaded: the first stage's.
            computed: the second stage's.
            downloaded: the third stage's.
        """
        self._predictor, self._pool = predictor, pool
        self.uploaded, self.computed, self.downloaded = uploaded, computed, downloaded
        self.loading = 0.0
        """Seconds that `load` took."""
        self._kinds: dict[tuple[object, ...], DeviceBuffers] = {}
        self._memory = PinnedMemory()

    def clear(self) -> None:
        """The batch has been read; its buffers stay for the next one."""

    def load(
        self, images: Images, geometries: Sequence[ImageGeometry], settings: InferenceSettings, answer: Answer
    ) -> None:
        """Copy a batch into pinned memory. Raises CancelledError if nobody wants the answer any more."""
        if not answer.set_running_or_notify_cancel():
            raise CancelledError
        shapes = [image.shape for image, _ in images]
        kind = settings.max_proposals_per_level, settings.max_instances, *shapes, *geometries
        if kind not in self._kinds:
            self._kinds[kind] = DeviceBuffers(self._predictor, shapes, geometries, settings)
        # The last one used goes to the end.
        self._buffers = self._kinds[kind] = self._kinds.pop(kind)
        unexpected = [kind for kind, buffers in self._kinds.items() if not buffers.has_graph]
        if len(unexpected) > KINDS_OF_BATCHES:
            del self._kinds[unexpected[0]]
        for buffers in self._kinds.values():
            buffers.detach()
        self._buffers.attach(self._memory)
        self._settings, self._orders = settings, [order for _, order in images]
        for buffer, (image, _) in zip(self._buffers.host_images, images, strict=True):
            np.copyto(buffer.numpy(), image)

    def upload(self) -> None:
        """First stage: the camera's bytes go up, the network's input is made of them on the device."""
        self._buffers.upload(self._orders)

    def compute(self) -> None:
        """Second stage: network and fusing."""
        self._buffers.compute(self._settings)

    def forget(self) -> None:
        """Give back all buffers and graphs, when nothing is on its way."""
        self._kinds.clear()
        self._memory = PinnedMemory()
        if hasattr(self, "_buffers"):
            del self._buffers

    def capture(self) -> str:
        """Capture the second stage of the batch that was last here into a graph, for all further ones like it.

        Returns:
            How these run.
        """
        if not self._predictor.can_be_captured:
            return self._predictor.way
        if not self._predictor.has_fixed_shapes:
            return f"{self._predictor.way}: a CUDA graph needs Triton, which cannot be used here"
        try:
            self._buffers.capture(self._settings, self.computed.stream, self._pool)
        except RuntimeError as error:
            return f"{self._predictor.way}: no CUDA graph can be captured: {' '.join(str(error).split())}"
        return f"CUDA graph ({self._predictor.way})"

    def download(self) -> None:
        """Third stage: label maps and tables of segments into pinned memory."""
        self._buffers.download()

    def results(self) -> list[PanopticResult]:
        """In the order of the images; to be asked after `downloaded.wait()`."""
        return [
            result_of_table(labels.numpy().view(np.uint16).copy(), table.numpy(), self._predictor.categories)
            for labels, table in zip(self._buffers.host_label_maps, self._buffers.host_tables, strict=True)
        ]

    def times(self, finishing: float) -> StageTimes:
        """Of each stage; to be asked after `downloaded.wait()`. `finishing`: seconds that the last one took besides."""
        network, proposals, _ = self._buffers.laps
        return StageTimes(
            preprocess=self.loading + self.uploaded.seconds(),
            network=1e-3 * self.computed.start.elapsed_time(network),
            proposals=1e-3 * network.elapsed_time(proposals),
            fusing=1e-3 * proposals.elapsed_time(self.computed.end),
            download=self.downloaded.seconds() + finishing,
        )
