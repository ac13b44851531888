# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Buffers of a CUDA batch, with streams and events that do nothing, because operations are sequential here.

The order between real streams is tested in test_cuda_pipeline, on a CUDA device.
"""

from __future__ import annotations

import gc
import re
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
from ciae_ros.inference.fusion import triton_support
from ciae_ros.inference.fusion.fused_image import TABLE_COLUMNS, FusedImage
from ciae_ros.inference.fusion.sampling_grid import sampling_grid
from ciae_ros.inference.fusion.triton_support import refuse_triton, triton_refusal
from ciae_ros.inference.pipeline import stream_pipeline
from ciae_ros.inference.pipeline.cuda_batch import MAX_UNCAPTURED_BUFFERS, CudaBatch
from ciae_ros.inference.pipeline.cuda_buffers import CudaBuffers, GraphPool
from ciae_ros.inference.pipeline.pinned_memory import ALIGNMENT, PinnedMemory
from ciae_ros.inference.pipeline.stream_pipeline import DEPTH, StreamPipeline
from ciae_ros.inference.self_test import SelfTestError
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
    device = torch.device("cpu")

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
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
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
        assert streams == [options["stream"]]
        try:
            yield
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    def fail(*arguments: object) -> list[FusedImage]:
        raise RuntimeError("operator cannot be captured")

    @contextmanager
    def current(stream: Stream) -> Iterator[None]:
        streams.append(stream)
        try:
            yield
        finally:
            streams.pop()

    streams: list[Stream] = []
    monkeypatch.setattr(torch.cuda, "stream", current)
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
    assert not streams


class Graph:
    """A CUDA graph that is never replayed."""

    def replay(self) -> None:
        pass


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let captures succeed; the work within is done at once."""
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **options: nullcontext())


def test_a_graph_keeps_what_it_reads_although_other_sizes_follow(
    predictor: Predictor, pipeline: StreamPipeline, captures: None
) -> None:
    geometry, settings = predictor.geometry(60, 80), predictor.settings
    buffers = CudaBuffers(predictor, [(60, 80, 3)], [geometry], settings)
    buffers._batch.zero_()
    buffers.capture(settings, torch.cuda.Stream(), GraphPool())
    embedding = torch.empty(1, *(length // 4 for length in geometry.padded))
    cell = weakref.ref(sampling_grid(geometry, embedding).rows.cell)
    for number in range(40):
        sampling_grid(predictor.geometry(100 + number, 80), embedding)
    gc.collect()
    assert cell() is not None
    del buffers
    gc.collect()
    assert cell() is None


def test_streams_wait_for_the_network_and_reuse_no_memory_of_another_stream(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[object] = []

    class Recorded(Stream):
        def __init__(self, device: torch.device | None = None) -> None:
            events.append("stream")

    @contextmanager
    def current(stream: Stream) -> Iterator[None]:
        events.append(stream)
        yield
        events.append("end")

    create = CudaBuffers.__init__

    def created(*arguments: Any) -> None:
        events.append("buffers")
        create(*arguments)

    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append("synchronize"))
    monkeypatch.setattr(torch.cuda, "Stream", Recorded)
    monkeypatch.setattr(torch.cuda, "stream", current)
    monkeypatch.setattr(CudaBuffers, "__init__", created)
    other = StreamPipeline(predictor)
    assert events == ["synchronize", "stream", "stream", "stream"]
    events.clear()
    other.submit([(np.zeros((60, 80, 3), np.uint8), "rgb")]).result()
    upload, network, download = (each.stream for each in other._executors)  # type: ignore[attr-defined]
    assert events == [
        upload,
        "buffers",
        "end",
        *(step for each in (upload, network, download) for step in (each, "end")),
    ]
    other.close()


def test_a_warm_up_that_fails_unexpectedly_leaves_the_pipeline_usable(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(batch: CudaBatch) -> str:
        raise AttributeError("injected")

    with monkeypatch.context() as patch:
        patch.setattr(CudaBatch, "capture", fail)
        with pytest.raises(AttributeError, match="injected"):
            pipeline.warm_up(60, 80)
    pipeline.warm_up(60, 80)


@pytest.fixture
def checked(pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch) -> StreamPipeline:
    """The pipeline, which checks its results as on a CUDA device, and uses graphs until the device is refused."""
    monkeypatch.setattr(pipeline, "_is_cuda", True)
    monkeypatch.setattr(pipeline, "_warm_up_batches", DEPTH)
    monkeypatch.setattr(triton_support, "_refusals", {})
    fixed = property(lambda predictor: not triton_refusal(predictor.device))
    monkeypatch.setattr(Predictor, "has_fixed_shapes", fixed)
    monkeypatch.setattr(Predictor, "settings_on_device", lambda predictor, settings: settings)
    return pipeline


def test_graphs_that_do_not_compute_are_not_used(
    predictor: Predictor, checked: StreamPipeline, captures: None, caplog: pytest.LogCaptureFixture
) -> None:
    # Captured graphs are never replayed here, so that all batches have the results of the one that was captured.
    mode = checked.warm_up(60, 80).execution_mode
    assert re.fullmatch(
        r"eager: a CUDA graph with Triton on cpu agrees with the CPU on \d+\.\d% of the pixels only", mode
    )
    assert "it is not used from now on" in caplog.text
    assert predictor.execution_reason.startswith("plain PyTorch, because a CUDA graph")
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    (found,), _ = checked.submit([(image, "rgb")]).result()
    assert found.segments == predictor.predict(image).segments


def test_a_kernel_that_fails_is_not_used(
    predictor: Predictor, checked: StreamPipeline, captures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = predictor.compute

    def fail_with_kernels(*arguments: Any) -> list[FusedImage]:
        if predictor.has_fixed_shapes:
            raise RuntimeError("an illegal instruction\n(injected)")
        return compute(*arguments)

    monkeypatch.setattr(predictor, "compute", fail_with_kernels)
    mode = checked.warm_up(60, 80, batch_size=2).execution_mode
    assert mode == "eager: a CUDA graph with Triton on cpu fails: an illegal instruction (injected)"


def test_too_little_memory_is_no_fault_of_the_kernels(
    predictor: Predictor, checked: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> list[FusedImage]:
        raise torch.OutOfMemoryError("injected")

    monkeypatch.setattr(predictor, "compute", fail)
    with pytest.raises(torch.OutOfMemoryError, match="injected"):
        checked.warm_up(60, 80)
    assert predictor.has_fixed_shapes


def test_results_that_agree_keep_the_fast_way(
    predictor: Predictor, checked: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CudaBatch, "capture", lambda batch: "CUDA graph (eager)")
    assert checked.warm_up(60, 80, batch_size=2).execution_mode == "CUDA graph (eager)"
    assert predictor.has_fixed_shapes
    assert not predictor.execution_reason


def test_images_of_a_batch_that_are_confused_are_noticed(
    predictor: Predictor, checked: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = predictor.segment
    monkeypatch.setattr(CudaBatch, "capture", lambda batch: "eager")

    def confused(outputs: Any, geometries: Any, settings: Any, clock: Any) -> list[FusedImage]:
        return segment(outputs, geometries, settings, clock)[::-1]

    monkeypatch.setattr(predictor, "segment", confused)
    assert checked.warm_up(60, 80).execution_mode == "eager"
    with pytest.raises(SelfTestError, match="agrees with the CPU on"):
        checked.warm_up(60, 80, batch_size=3)


@pytest.mark.parametrize("stage", ["preprocess", "segment"])
def test_a_device_that_is_wrong_without_kernels_is_refused(
    predictor: Predictor, checked: StreamPipeline, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    right = getattr(predictor, stage)

    def preprocess(images: Any, geometries: Any) -> Tensor:
        # The second call of each check is that for the CPU.
        calls.append(images)
        return right(images, geometries) + (2 if len(calls) % 2 else 0)

    def segment(*arguments: Any) -> list[FusedImage]:
        return [replace(image, label_map=image.label_map.flip(1)) for image in right(*arguments)]

    calls: list[Any] = []
    monkeypatch.setattr(predictor, "execution_reason", "")
    refuse_triton(predictor.device, "known")
    if stage == "preprocess":
        monkeypatch.setattr(checked, "_run_warm_up_batches", lambda images: 0.0)
        monkeypatch.setattr(CudaBatch, "capture", lambda batch: "eager")
    monkeypatch.setattr(predictor, stage, {"preprocess": preprocess, "segment": segment}[stage])
    found = {"preprocess": "preprocessing on cpu differs", "segment": "PyTorch on cpu agrees with the CPU on"}
    with pytest.raises(SelfTestError, match=found[stage]):
        checked.warm_up(60, 80)


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
