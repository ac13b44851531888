# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Fixed memory on a CUDA device for batches of one layout, and the CUDA graph that operates on it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from ciae_ros.core.images.channel_order import ChannelOrder
from ciae_ros.inference.fusion.fused_image import TABLE_COLUMNS
from ciae_ros.inference.geometry import ImageGeometry
from ciae_ros.inference.graph_inputs import GraphInputs
from ciae_ros.inference.pipeline.pinned_memory import PinnedMemory
from ciae_ros.inference.predictor import Predictor
from ciae_ros.inference.settings import DeviceSettings, InferenceSettings


class GraphPool:
    """Device memory that the CUDA graphs of a pipeline share.

    They are never replayed concurrently, and in any order: each leaves its results in buffers outside of the pool.
    """

    def __init__(self) -> None:
        self.handle = torch.cuda.graph_pool_handle()

    def renew(self) -> None:
        """Use other memory for further graphs; after a failed capture PyTorch refuses to capture into the same."""
        self.handle = torch.cuda.graph_pool_handle()


class CudaBuffers:
    """Buffers for B images of given shapes. All work is launched on the current stream without waiting for it."""

    def __init__(
        self,
        predictor: Predictor,
        shapes: Sequence[tuple[int, ...]],
        geometries: Sequence[ImageGeometry],
        settings: InferenceSettings,
    ) -> None:
        """Reserve the memory.

        Args:
            predictor: runs the stages.
            shapes: shape (H, W, C) of each image.
            geometries: geometry of each image; all have the same padded size.
            settings: `max_instances` bounds the number of segments.
        """
        device = predictor.device
        self._predictor, self._geometries = predictor, geometries
        self._images = [torch.empty(shape, dtype=torch.uint8, device=device) for shape in shapes]
        self._batch = torch.empty(
            (len(shapes), 3, *geometries[0].padded),
            dtype=predictor.dtype,
            device=device,
            memory_format=torch.channels_last,
        )
        sizes = [predictor.result_geometry(geometry).original for geometry in geometries]
        table_shape = predictor.backend.max_segments(settings), TABLE_COLUMNS + predictor.backend.embedding_dim
        self._label_maps = [torch.empty(size, dtype=torch.int16, device=device) for size in sizes]
        self._tables = [torch.empty(table_shape, dtype=torch.float64, device=device) for _ in sizes]
        confidence_sizes = [predictor.backend.confidence_size(geometry) for geometry in geometries]
        self._confidences = [torch.empty(size, dtype=torch.uint8, device=device) for size in confidence_sizes]
        self.host_images: list[Tensor] = []
        self.host_label_maps: list[Tensor] = []
        self.host_tables: list[Tensor] = []
        self.host_confidences: list[Tensor] = []
        # External: recorded again at every replay when they are in a graph.
        self.lap_events = [torch.cuda.Event(enable_timing=True, external=True) for _ in range(3)]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._graph_inputs: GraphInputs | None = None

    def attach(self, memory: PinnedMemory) -> None:
        """Use this memory for uploads and downloads until it is attached to other buffers."""
        on_device = self._images, self._label_maps, self._tables, self._confidences
        layouts = [(tensor.shape, tensor.dtype) for tensors in on_device for tensor in tensors]
        host = iter(memory.allocate(layouts))
        self.host_images, self.host_label_maps, self.host_tables, self.host_confidences = (
            list(islice(host, len(each))) for each in on_device
        )

    def detach(self) -> None:
        """Drop the references to pinned memory."""
        self.host_images, self.host_label_maps, self.host_tables, self.host_confidences = [], [], [], []

    @property
    def has_graph(self) -> bool:
        return self._graph is not None

    def upload(self, channel_orders: Sequence[ChannelOrder]) -> None:
        """Copy `host_images` to the device and preprocess them into the network's input."""
        for image, host in zip(self._images, self.host_images, strict=True):
            image.copy_(host, non_blocking=True)
        prepared = self._predictor.preprocess(list(zip(self._images, channel_orders, strict=True)), self._geometries)
        self._batch.copy_(prepared)

    def compute(self, settings: InferenceSettings) -> None:
        """Compute label maps and segment tables on the device from the network's input."""
        on_device = self._predictor.settings_on_device(settings)
        if self._graph is None:
            self._compute(on_device)
        else:
            self._graph.replay()

    def capture(self, settings: InferenceSettings, stream: torch.cuda.Stream, pool: GraphPool) -> None:
        """Capture `compute` into a CUDA graph; it must have run at least once before.

        Args:
            settings: the settings of that run.
            stream: the stream to capture on; no other work may run on it meanwhile.
            pool: the graph's memory; it is renewed if the capture fails.

        Raises:
            RuntimeError: an operator cannot be captured; the message is that of the operator.
        """
        inputs = GraphInputs(watch_operators=not self._predictor.is_compiled)
        # A capture first waits for the current device, which need not be that of the stream, and a failed one does not
        # restore the current stream.
        with torch.cuda.device(stream.device), torch.cuda.stream(stream):
            self._graph = self._captured(self._predictor.settings_on_device(settings), stream, pool, inputs)
        self._graph_inputs = inputs

    def _captured(
        self,
        settings: InferenceSettings | DeviceSettings,
        stream: torch.cuda.Stream,
        pool: GraphPool,
        inputs: GraphInputs,
    ) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use the device meanwhile: the node's checks of the device, other nodes in the process.
            with torch.cuda.graph(graph, pool=pool.handle, stream=stream, capture_error_mode="thread_local"), inputs:
                self._compute(settings)
        except RuntimeError as error:
            pool.renew()
            # Ending the capture fails, too, and its error hides that of the operator.
            if isinstance(error.__context__, RuntimeError):
                raise error.__context__ from None
            raise
        return graph

    def download(self) -> None:
        """Copy label maps, tables and confidences to their `host_` buffers."""
        for to, buffers in (
            (self.host_label_maps, self._label_maps),
            (self.host_tables, self._tables),
            (self.host_confidences, self._confidences),
        ):
            for host, on_device in zip(to, buffers, strict=True):
                host.copy_(on_device, non_blocking=True)

    @torch.inference_mode()
    def _compute(self, settings: InferenceSettings | DeviceSettings) -> None:
        fused = self._predictor.compute(self._batch, self._geometries, settings, _EventClock(self.lap_events))
        for labels, table, confidence, image in zip(
            self._label_maps, self._tables, self._confidences, fused, strict=True
        ):
            labels.copy_(image.label_map)
            confidence.copy_(image.confidence)
            rows = image.table()
            table[: len(rows)] = rows
            table[len(rows) :] = 0


class _EventClock:
    """A stage clock that records CUDA events."""

    def __init__(self, events: Sequence[torch.cuda.Event]) -> None:
        self._events = iter(events)

    def lap(self) -> None:
        next(self._events).record()
