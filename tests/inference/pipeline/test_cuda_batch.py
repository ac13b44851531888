# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Buffers of a CUDA batch, with streams and events that do nothing, because operations are sequential here.

The order between real streams is tested in test_cuda_pipeline, on a CUDA device.
"""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ciae_ros.inference import Predictor, coco_categories, untrained_checkpoint
from ciae_ros.inference.fusion.fused_image import TABLE_COLUMNS, FusedImage
from ciae_ros.inference.pipeline import stream_pipeline
from ciae_ros.inference.pipeline.cuda_batch import MAX_UNCAPTURED_BUFFERS
from ciae_ros.inference.pipeline.cuda_buffers import CudaBuffers, GraphPool
from ciae_ros.inference.pipeline.pinned_memory import ALIGNMENT, PinnedMemory
from ciae_ros.inference.pipeline.stream_pipeline import DEPTH, StreamPipeline
from ciae_ros.model import PRESETS


class Event:
    """An event of work that is complete once launched."""

    def __init__(self, **options: bool) -> None:
        self.time = 0.0

    def record(self) -> None:
        self.time = time.perf_counter()

    def elapsed_time(self, other: Event) -> float:
        return 1e3 * (other.time - self.time)

    def synchronize(self) -> None:
        pass


class Stream:
    def __init__(self, device: torch.device | None = None) -> None:
        pass

    def wait_event(self, event: Event) -> None:
        assert event.time > 0, "nothing was recorded"

    def synchronize(self) -> None:
        pass


@pytest.fixture
def predictor() -> Predictor:
    torch.manual_seed(0)
    checkpoint = untrained_checkpoint("light", PRESETS["light_512"], coco_categories())
    settings = replace(checkpoint.settings, score_threshold=0.1, min_stuff_area=0)
    return Predictor(checkpoint, settings=settings, input_size=64)


@pytest.fixture
def pipeline(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> Iterator[StreamPipeline]:
    empty = torch.empty

    def without_pinning(*arguments: Any, pin_memory: bool = False, **options: Any) -> Tensor:
        return empty(*arguments, **options)

    monkeypatch.setattr(torch, "empty", without_pinning)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(stream_pipeline, "_host_batches", stream_pipeline._cuda_batches)
    pipeline = StreamPipeline(predictor)
    yield pipeline
    pipeline.close()


def test_sizes_channels_and_orders_interleaved_give_the_predictors_futures(
    predictor: Predictor, pipeline: StreamPipeline
) -> None:
    random = np.random.default_rng(0)
    shapes = [(60 + 5 * (number % (MAX_UNCAPTURED_BUFFERS + 2)), 80, 3 + number % 2) for number in range(40)]
    images = [random.integers(0, 256, shape, np.uint8) for shape in shapes]
    images.append(random.integers(0, 256, (70, 80, 1), np.uint8))
    orders = [*(("rgb", "bgr")[number % 2] for number in range(40)), "mono"]
    futures = [pipeline.submit([(image, order)]) for image, order in zip(images, orders, strict=True)]  # type: ignore[list-item]
    for future, image, order in zip(futures, images, orders, strict=True):
        (found,), times = future.result()
        expected = predictor.predict(image, order)  # type: ignore[arg-type]
        assert np.array_equal(found.label_map, expected.label_map)
        assert found.segments == expected.segments
        assert min(times.preprocess, times.network, times.proposals, times.fusion, times.download) > 0


def test_pinned_memory_is_that_of_the_largest_batch_however_many_sizes_come(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[weakref.ref[Tensor]] = []
    pin = PinnedMemory.allocate

    def counted(self: PinnedMemory, *shapes: Any) -> list[Tensor]:
        before = self._block
        arrays = pin(self, *shapes)
        if self._block is not before:
            pinned.append(weakref.ref(self._block.untyped_storage()))
        return arrays

    monkeypatch.setattr(PinnedMemory, "allocate", counted)
    for number in range(12 * DEPTH):
        image = np.zeros((60 + (37 * number) % 90, 80 + (53 * number) % 70, 3), np.uint8)
        pipeline.submit([(image, "rgb")]).result()
    gc.collect()
    sizes = [storage.nbytes() for each in pinned if (storage := each()) is not None]
    largest = 150 * 150 * (3 + 2) + 8 * (TABLE_COLUMNS + predictor.backend.embedding_dim) * (
        len(coco_categories().stuff) + 100
    )
    assert len(pinned) > DEPTH, "the sizes have grown"
    assert len(sizes) == DEPTH
    assert sum(sizes) <= DEPTH * (largest + 3 * ALIGNMENT)


def test_an_error_while_launching_frees_the_batch(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    compute = predictor.compute

    def fail(*arguments: object) -> list[FusedImage]:
        raise torch.OutOfMemoryError("injected")

    monkeypatch.setattr(predictor, "compute", fail)
    for _ in range(2 * DEPTH):
        with pytest.raises(torch.OutOfMemoryError, match="injected"):
            pipeline.submit([(image, "rgb")]).result()
    monkeypatch.setattr(predictor, "compute", compute)
    assert pipeline.submit([(image, "rgb")]).result()
    assert pipeline.busy_seconds() == 0


def test_released_buffers_are_created_again(predictor: Predictor, pipeline: StreamPipeline) -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    pipeline.warm_up(60, 80)
    pipeline.release_buffers()
    (found,), _ = pipeline.submit([(image, "rgb")]).result()
    assert np.array_equal(found.label_map, predictor.predict(image).label_map)


def test_without_triton_the_warm_up_reports_why_there_is_no_graph(pipeline: StreamPipeline) -> None:
    assert (
        pipeline.warm_up(60, 80, batch_size=2).execution_mode
        == "eager: a CUDA graph needs Triton, which cannot be used here"
    )


def test_a_failed_capture_reports_the_operators_error_and_gives_up_its_memory(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def capture(graph: object, pool: object, **options: Any) -> Iterator[None]:
        assert pool == "first"
        try:
            yield
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    def fail(*arguments: object) -> list[FusedImage]:
        raise RuntimeError("operator cannot be captured")

    handles = iter(("first", "second"))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(handles))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(predictor, "compute", fail)
    pool, settings = GraphPool(), predictor.settings
    buffers = CudaBuffers(predictor, [(60, 80, 3)], [predictor.geometry(60, 80)], settings)
    with pytest.raises(RuntimeError, match="operator cannot be captured"):
        buffers.capture(settings, torch.cuda.Stream(), pool)
    assert not buffers.has_graph
    assert pool.handle == "second"


def test_warm_up_batches_run_with_cudnn_like_later_ones(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = []
    compute = predictor.compute

    def observed(*arguments: Any) -> list[FusedImage]:
        flags.append((torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark))
        return compute(*arguments)

    monkeypatch.setattr(predictor, "compute", observed)
    pipeline.warm_up(60, 80)
    pipeline.submit([(np.zeros((60, 80, 3), np.uint8), "rgb")]).result()
    assert len(flags) > DEPTH
    assert set(flags) == {(True, False)}
