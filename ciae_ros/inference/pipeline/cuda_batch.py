# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""One batch in flight on a CUDA device."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError

import numpy as np
import torch

from ciae_ros.core.result import PanopticResult
from ciae_ros.inference.fusion.triton_support import triton_refusal
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.pipeline.batch import BatchFuture, Images
from ciae_ros.inference.pipeline.cuda_buffers import CudaBuffers, GraphPool
from ciae_ros.inference.pipeline.pinned_memory import PinnedMemory
from ciae_ros.inference.pipeline.stage_executors import StreamTask
from ciae_ros.inference.predictor import Predictor
from ciae_ros.inference.settings import InferenceSettings
from ciae_ros.inference.stage_times import StageTimes

MAX_UNCAPTURED_BUFFERS = 8
"""Buffers kept for batch layouts without a captured graph; the least recently used ones are freed first."""


class CudaBatch:
    """An `InFlightBatch` with fixed device buffers, one set for each batch layout (counts, shapes, geometries)."""

    def __init__(
        self,
        predictor: Predictor,
        graph_pool: GraphPool,
        upload_task: StreamTask,
        compute_task: StreamTask,
        download_task: StreamTask,
    ) -> None:
        """Create the batch without reserving memory.

        Args:
            predictor: runs the stages.
            graph_pool: shared by all batches of a pipeline.
            upload_task: task of the first stage.
            compute_task: task of the second stage.
            download_task: task of the third stage.
        """
        self._predictor, self._graph_pool = predictor, graph_pool
        self.upload_task, self.compute_task, self.download_task = upload_task, compute_task, download_task
        self.load_seconds = 0.0
        self._buffers_by_layout: dict[tuple[object, ...], CudaBuffers] = {}
        self._memory = PinnedMemory()

    def clear(self) -> None:
        """Do nothing: the buffers stay for the next batch."""

    def load(
        self, images: Images, geometries: Sequence[ImageGeometry], settings: InferenceSettings, future: BatchFuture
    ) -> None:
        """Copy a batch into pinned memory. Raises CancelledError if its future has been cancelled."""
        if not future.set_running_or_notify_cancel():
            raise CancelledError
        shapes = [image.shape for image, _ in images]
        layout = settings.max_proposals_per_level, settings.max_instances, *shapes, *geometries
        if layout not in self._buffers_by_layout:
            # Memory of the stream that uses it first: freed memory is reused without waiting for other streams.
            with torch.cuda.stream(self.upload_task.stream):
                self._buffers_by_layout[layout] = CudaBuffers(self._predictor, shapes, geometries, settings)
        # The most recently used layout is the last key.
        self._buffers = self._buffers_by_layout[layout] = self._buffers_by_layout.pop(layout)
        uncaptured = [layout for layout, buffers in self._buffers_by_layout.items() if not buffers.has_graph]
        if len(uncaptured) > MAX_UNCAPTURED_BUFFERS:
            del self._buffers_by_layout[uncaptured[0]]
        for buffers in self._buffers_by_layout.values():
            buffers.detach()
        self._buffers.attach(self._memory)
        self._settings, self._channel_orders = settings, [order for _, order in images]
        for buffer, (image, _) in zip(self._buffers.host_images, images, strict=True):
            np.copyto(buffer.numpy(), image)

    def upload(self) -> None:
        self._buffers.upload(self._channel_orders)

    def compute(self) -> None:
        self._buffers.compute(self._settings)

    def download(self) -> None:
        self._buffers.download()

    def capture(self) -> str:
        """Capture the second stage of the last batch into a graph, for all further batches of its layout.

        Returns:
            The execution mode of these batches.
        """
        mode = self._predictor.execution_mode
        if not self._predictor.supports_graph_capture:
            return mode
        if not self._predictor.has_fixed_shapes:
            refusal = triton_refusal(self._predictor.device) or "a CUDA graph needs Triton, which cannot be used here"
            return f"{mode}: {refusal}"
        try:
            self._buffers.capture(self._settings, self.compute_task.stream, self._graph_pool)
        except RuntimeError as error:
            return f"{mode}: no CUDA graph can be captured: {' '.join(str(error).split())}"
        return f"CUDA graph ({mode})"

    def release_buffers(self) -> None:
        self._buffers_by_layout.clear()
        self._memory = PinnedMemory()
        if hasattr(self, "_buffers"):
            del self._buffers

    def results(self) -> list[PanopticResult]:
        return [
            self._predictor.result_from_table(
                labels.numpy().view(np.uint16).copy(), table.numpy(), confidence.numpy().copy()
            )
            for labels, table, confidence in zip(
                self._buffers.host_label_maps, self._buffers.host_tables, self._buffers.host_confidences, strict=True
            )
        ]

    def stage_times(self, result_seconds: float) -> StageTimes:
        network, proposals, _ = self._buffers.lap_events
        return StageTimes(
            preprocess=self.load_seconds + self.upload_task.seconds(),
            network=1e-3 * self.compute_task.start.elapsed_time(network),
            proposals=1e-3 * network.elapsed_time(proposals),
            fusion=1e-3 * proposals.elapsed_time(self.compute_task.end),
            download=self.download_task.seconds() + result_seconds,
        )
