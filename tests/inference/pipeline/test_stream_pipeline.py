# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Batches in the pipeline have the same results as single images, in order, with overlapping stages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from ciae_ros.core.images.channel_order import ChannelOrder
from ciae_ros.inference import PanopticResult, Predictor, coco_categories, untrained_checkpoint
from ciae_ros.inference.fusion.fused_image import FusedImage
from ciae_ros.inference.pipeline.network_availability import NetworkAvailability
from ciae_ros.inference.pipeline.stream_pipeline import DEPTH, StreamPipeline
from ciae_ros.inference.stage_times import StageTimes
from ciae_ros.model import PRESETS

TIMEOUT = 20.0
"""Timeout in seconds of concurrent events."""


def images(count: int, height: int = 60, width: int = 80) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def batch(image: np.ndarray) -> list[tuple[np.ndarray, ChannelOrder]]:
    return [(image, "rgb")]


@pytest.fixture
def predictor() -> Predictor:
    checkpoint = untrained_checkpoint("light", PRESETS["light_512"], coco_categories())
    settings = replace(checkpoint.settings, score_threshold=0.1, min_stuff_area=0)
    return Predictor(checkpoint, settings=settings, input_size=64)


@pytest.fixture
def pipeline(predictor: Predictor) -> Iterator[StreamPipeline]:
    pipeline = StreamPipeline(predictor)
    yield pipeline
    pipeline.close()


def same(a: PanopticResult, b: PanopticResult) -> bool:
    return bool((a.label_map == b.label_map).all()) and a.segments == b.segments


def test_results_equal_the_predictor_and_keep_their_order(predictor: Predictor, pipeline: StreamPipeline) -> None:
    scenes = [*images(6), *images(3, 90, 70), *images(3)]
    expected = [predictor.predict(scene) for scene in scenes]
    finished: list[int] = []
    futures = []
    for number, scene in enumerate(scenes):
        future = pipeline.submit(batch(scene))
        future.add_done_callback(lambda _, number=number: finished.append(number))  # type: ignore[misc]
        futures.append(future)
    # Later results must not have overwritten earlier ones.
    for future, result in zip(futures, expected, strict=True):
        (found,), times = future.result()
        assert same(found, result)
        assert min(times.preprocess, times.network, times.proposals, times.fusion, times.download) > 0
    assert finished == list(range(len(scenes)))


def test_images_of_a_batch_keep_their_order(predictor: Predictor, pipeline: StreamPipeline) -> None:
    scenes = images(3)
    results, _ = pipeline.submit([(scene, "rgb") for scene in scenes]).result()
    for found, scene in zip(results, scenes, strict=True):
        assert (found.label_map == predictor.predict(scene).label_map).mean() > 0.99


def test_while_one_is_in_the_network_the_next_is_prepared_and_the_last_is_downloaded(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_in_network, first_downloading, third_prepared = (threading.Event() for _ in range(3))
    prepared: list[Tensor] = []
    met: list[bool] = []
    prepare, compute, to_result = predictor.preprocess, predictor.compute, FusedImage.to_result

    def preprocess(*arguments: Any) -> Tensor:
        prepared.append(prepare(*arguments))
        if len(prepared) == 3:
            met.append(second_in_network.wait(TIMEOUT))
            third_prepared.set()
        return prepared[-1]

    def network(tensor: Tensor, *arguments: Any) -> list[FusedImage]:
        if len(prepared) > 1 and tensor is prepared[1]:
            second_in_network.set()
            met.append(first_downloading.wait(TIMEOUT))
            met.append(third_prepared.wait(TIMEOUT))
        return compute(tensor, *arguments)

    def download(image: FusedImage, *arguments: Any) -> PanopticResult:
        if not first_downloading.is_set():
            first_downloading.set()
            met.append(second_in_network.wait(TIMEOUT))
        return to_result(image, *arguments)

    monkeypatch.setattr(predictor, "preprocess", preprocess)
    monkeypatch.setattr(predictor, "compute", network)
    monkeypatch.setattr(FusedImage, "to_result", download)
    futures = [pipeline.submit(batch(scene)) for scene in images(3)]
    for future in futures:
        future.result()
    assert met == [True] * 4


@pytest.mark.parametrize("stage", ["preprocess", "compute"])
def test_an_error_is_its_own_batchs_only(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    healthy, calls = getattr(predictor, stage), 0
    scenes = images(3 * DEPTH)
    expected = [predictor.predict(scene) for scene in scenes]

    def every_second_fails(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise MemoryError("injected")
        return healthy(*arguments)

    monkeypatch.setattr(predictor, stage, every_second_fails)
    futures = [pipeline.submit(batch(scene)) for scene in scenes]
    for number, (future, result) in enumerate(zip(futures, expected, strict=True)):
        if number % 2 == 0:
            with pytest.raises(MemoryError, match="injected"):
                future.result()
        else:
            assert same(future.result()[0][0], result)


def test_an_invalid_image_is_refused_and_occupies_no_batch(pipeline: StreamPipeline) -> None:
    for _ in range(2 * DEPTH):
        with pytest.raises(ValueError, match="uint8"):
            pipeline.submit([(np.zeros((4, 4)), "rgb")])
    assert pipeline.submit(batch(images(1)[0])).result()


def test_at_most_depth_batches_are_in_flight_and_waiting_ones_can_be_cancelled(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    proceed, compute, computed = threading.Event(), predictor.compute, 0

    def network(*arguments: Any) -> list[FusedImage]:
        nonlocal computed
        computed += 1
        assert proceed.wait(TIMEOUT)
        return compute(*arguments)

    monkeypatch.setattr(predictor, "compute", network)
    scene = images(1)[0]
    futures = [pipeline.submit(batch(scene)) for _ in range(DEPTH)]
    late = threading.Thread(target=lambda: futures.append(pipeline.submit(batch(scene))))
    late.start()
    late.join(0.3)
    assert late.is_alive()
    assert pipeline.busy_seconds() > 0.3
    assert futures[1].cancel()
    proceed.set()
    late.join(TIMEOUT)
    assert not futures[0].cancel()
    with pytest.raises(CancelledError):
        futures[1].result()
    for future in (futures[0], *futures[2:]):
        assert future.result()
    assert computed == DEPTH
    assert pipeline.busy_seconds() == 0


def test_settings_are_those_of_the_moment_of_submission(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    proceed, compute = threading.Event(), predictor.compute

    def network(*arguments: Any) -> list[FusedImage]:
        assert proceed.wait(TIMEOUT)
        return compute(*arguments)

    monkeypatch.setattr(predictor, "compute", network)
    scene = images(1)[0]
    some = pipeline.submit(batch(scene))
    predictor.settings = replace(predictor.settings, score_threshold=1.0, min_stuff_area=10**6)
    none = pipeline.submit(batch(scene))
    proceed.set()
    assert some.result()[0][0].segments
    assert not none.result()[0][0].segments


def test_any_thread_may_submit(predictor: Predictor, pipeline: StreamPipeline) -> None:
    scenes = images(8)
    expected = [predictor.predict(scene) for scene in scenes]
    found: dict[int, PanopticResult] = {}

    def submit(number: int) -> None:
        for _ in range(3):
            found[number] = pipeline.submit(batch(scenes[number])).result()[0][0]

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(len(scenes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert all(same(found[number], expected[number]) for number in range(len(scenes)))


def waiter(availability: NetworkAvailability, stopping: threading.Event) -> threading.Thread:
    """Wait until the network is idle, which is expected in an hour."""
    availability.on_submit()
    availability.on_complete(StageTimes(preprocess=0, network=3600, proposals=0, fusion=0, download=0))
    availability.on_submit()
    thread = threading.Thread(target=availability.wait_until_idle, args=(0.0, stopping), daemon=True)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    return thread


def test_a_wait_for_the_network_ends_as_soon_as_it_is_idle() -> None:
    availability = NetworkAvailability()
    thread = waiter(availability, threading.Event())
    availability.on_complete(None)
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_a_wait_for_the_network_can_be_stopped() -> None:
    availability, stopping = NetworkAvailability(), threading.Event()
    thread = waiter(availability, stopping)
    stopping.set()
    availability.wake()
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_availability_follows_from_the_batches_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    availability = NetworkAvailability()
    assert availability.seconds_until_idle() == 0
    for _ in range(3):
        availability.on_submit()
        now += 2.5
        availability.on_complete(StageTimes(preprocess=0.1, network=1.5, proposals=0.2, fusion=0.3, download=0.4))
    availability.on_submit()
    assert availability.seconds_until_idle() == pytest.approx(2.0)
    now += 0.5
    availability.on_submit()
    assert availability.seconds_until_idle() == pytest.approx(3.5)
    assert availability.busy_seconds() == pytest.approx(0.5)
    now += 2.0
    # It left the network 0.4 s ago, when the second one started.
    availability.on_complete(StageTimes(preprocess=0.1, network=1.5, proposals=0.2, fusion=0.3, download=0.4))
    assert availability.seconds_until_idle() == pytest.approx(1.6)
    availability.on_complete(None)
    assert availability.seconds_until_idle() == 0
    assert availability.busy_seconds() == 0
