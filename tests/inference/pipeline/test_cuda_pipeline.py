# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The pipeline on a CUDA device: streams, graphs, and no synchronisation in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from ciae_ros.inference import PanopticResult, Predictor, coco_categories, untrained_checkpoint
from ciae_ros.inference.pipeline.stream_pipeline import StreamPipeline
from ciae_ros.model import PRESETS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

HEIGHT, WIDTH = 270, 480


@pytest.fixture(scope="module", params=["r50_512", "light_512"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    torch.manual_seed(0)
    checkpoint = untrained_checkpoint("untrained", PRESETS[request.param], coco_categories())
    settings = replace(checkpoint.settings, score_threshold=0.1, min_stuff_area=64)
    return Predictor(checkpoint, "cuda", "fp16", settings, input_size=256)


@pytest.fixture(params=["eager", "CUDA graph"])
def pipeline(predictor: Predictor, request: pytest.FixtureRequest) -> Iterator[StreamPipeline]:
    pipeline = StreamPipeline(predictor)
    if request.param == "CUDA graph":
        assert pipeline.warm_up(HEIGHT, WIDTH).execution_mode == "CUDA graph (eager)"
        assert pipeline.warm_up(HEIGHT, WIDTH, batch_size=3).execution_mode == "CUDA graph (eager)"
    yield pipeline
    pipeline.close()


def images(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(count)]


AGREEMENT = 0.9
"""Minimum agreement of results of the same image. Between different images it is 0.5 to 0.75."""


def agreement(a: PanopticResult, b: PanopticResult) -> float:
    """Share of pixels on which each segment of `a` agrees with the one segment of `b` that it overlaps most.

    Equal ids are not required: in half precision the kernels that cuDNN chooses for a batch round differently, and one
    proposal more or less, of an untrained network's hundred, shifts all ids.
    """
    shape = len(a.segments) + 1, len(b.segments) + 1
    overlaps = np.bincount(np.ravel_multi_index((a.label_map.ravel(), b.label_map.ravel()), shape), minlength=1)
    overlaps.resize(shape)
    return float(overlaps.max(axis=1).sum() / a.label_map.size)


def test_results_equal_the_predictor_and_do_not_overwrite_each_other(
    predictor: Predictor, pipeline: StreamPipeline
) -> None:
    scenes = images(12)
    expected = [predictor.predict(scene) for scene in scenes]
    assert agreement(expected[0], expected[1]) < AGREEMENT - 0.1
    futures = [pipeline.submit([(scene, "rgb")]) for scene in scenes]
    for future, result in zip(futures, expected, strict=True):
        (found,), times = future.result()
        assert agreement(found, result) > AGREEMENT
        assert min(times.preprocess, times.network, times.proposals, times.fusion, times.download) > 0
        areas = np.bincount(found.label_map.ravel(), minlength=len(found.segments) + 1)[1:]
        assert areas.tolist() == [segment.area for segment in found.segments]


def test_a_batch(predictor: Predictor, pipeline: StreamPipeline) -> None:
    scenes = images(3)
    results, _ = pipeline.submit([(scene, "bgr") for scene in scenes]).result()
    for found, scene in zip(results, scenes, strict=True):
        assert agreement(found, predictor.predict(scene, "bgr")) > AGREEMENT


def test_thresholds_count_from_the_next_batch_on(predictor: Predictor, pipeline: StreamPipeline) -> None:
    scene, default = images(1)[0], predictor.settings
    some = pipeline.submit([(scene, "rgb")])
    predictor.settings = replace(default, score_threshold=1.0, min_stuff_area=10**6)
    none = pipeline.submit([(scene, "rgb")])
    predictor.settings = default
    again = pipeline.submit([(scene, "rgb")])
    assert some.result()[0][0].segments
    assert not none.result()[0][0].segments
    assert (again.result()[0][0].label_map == some.result()[0][0].label_map).all()


def test_nothing_waits_for_the_device_but_the_thread_that_fetches_the_results(
    predictor: Predictor, pipeline: StreamPipeline
) -> None:
    scenes = images(6)
    for scene in scenes[:3]:
        pipeline.submit([(scene, "rgb")]).result()
    torch.cuda.set_sync_debug_mode("error")
    try:
        futures = [pipeline.submit([(scene, "rgb")]) for scene in scenes]
        results = [future.result()[0][0] for future in futures]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(result.segments for result in results)


def test_graphs_read_no_freed_memory_after_many_other_sizes(predictor: Predictor) -> None:
    pipeline = StreamPipeline(predictor)
    pipeline.warm_up(HEIGHT, WIDTH)
    (scene,) = images(1)
    (before,), _ = pipeline.submit([(scene, "rgb")]).result()
    for more in range(1, 41):
        predictor.predict(np.zeros((HEIGHT + more, WIDTH, 3), np.uint8))
    # What has been freed gets other content.
    sizes = [1 << exponent for exponent in range(9, 22)] * 20
    filling = [torch.full((size,), 127, dtype=torch.uint8, device="cuda") for size in sizes]
    (after,), _ = pipeline.submit([(scene, "rgb")]).result()
    pipeline.close()
    del filling
    assert np.array_equal(before.label_map, after.label_map)
