# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Batches through the pipeline: the same answers as one by one, in order, with the stages side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from ciae_ros.inference import PanopticResult, Predictor, coco_categories, untrained_checkpoint
from ciae_ros.inference.fusing import FusedImage
from ciae_ros.inference.preprocessing import ChannelOrder
from ciae_ros.inference.stage_times import StageTimes
from ciae_ros.inference.stream_pipeline import DEPTH, StreamPipeline
from ciae_ros.inference.turn_estimate import TurnEstimate
from ciae_ros.model import PRESETS

PATIENCE = 20.0
"""Seconds after which something that should happen at the same time is taken not to."""


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


def test_answers_are_those_of_the_predictor_and_keep_their_order(
    predictor: Predictor, pipeline: StreamPipeline
) -> None:
    scenes = [*images(6), *images(3, 90, 70), *images(3)]
    expected = [predictor.predict(scene) for scene in scenes]
    finished: list[int] = []
    answers = []
    for number, scene in enumerate(scenes):
        answer = pipeline.submit(batch(scene))
        answer.add_done_callback(lambda _, number=number: finished.append(number))  # type: ignore[misc]
        answers.append(answer)
    # What came first must not have been overwritten by what came later.
    for answer, result in zip(answers, expected, strict=True):
        (found,), times = answer.result()
        assert same(found, result)
        assert min(times.preprocess, times.network, times.proposals, times.fusing, times.download) > 0
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
            met.append(second_in_network.wait(PATIENCE))
            third_prepared.set()
        return prepared[-1]

    def network(tensor: Tensor, *arguments: Any) -> list[FusedImage]:
        if len(prepared) > 1 and tensor is prepared[1]:
            second_in_network.set()
            met.append(first_downloading.wait(PATIENCE))
            met.append(third_prepared.wait(PATIENCE))
        return compute(tensor, *arguments)

    def download(image: FusedImage, *arguments: Any) -> PanopticResult:
        if not first_downloading.is_set():
            first_downloading.set()
            met.append(second_in_network.wait(PATIENCE))
        return to_result(image, *arguments)

    monkeypatch.setattr(predictor, "preprocess", preprocess)
    monkeypatch.setattr(predictor, "compute", network)
    monkeypatch.setattr(FusedImage, "to_result", download)
    answers = [pipeline.submit(batch(scene)) for scene in images(3)]
    for answer in answers:
        answer.result()
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
    answers = [pipeline.submit(batch(scene)) for scene in scenes]
    for number, (answer, result) in enumerate(zip(answers, expected, strict=True)):
        if number % 2 == 0:
            with pytest.raises(MemoryError, match="injected"):
                answer.result()
        else:
            assert same(answer.result()[0][0], result)


def test_what_is_no_image_is_refused_and_takes_no_slot(pipeline: StreamPipeline) -> None:
    for _ in range(2 * DEPTH):
        with pytest.raises(ValueError, match="uint8"):
            pipeline.submit([(np.zeros((4, 4)), "rgb")])
    assert pipeline.submit(batch(images(1)[0])).result()


def test_no_more_than_its_depth_are_on_their_way_and_what_waits_can_be_cancelled(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, compute, computed = threading.Event(), predictor.compute, 0

    def network(*arguments: Any) -> list[FusedImage]:
        nonlocal computed
        computed += 1
        assert go_on.wait(PATIENCE)
        return compute(*arguments)

    monkeypatch.setattr(predictor, "compute", network)
    scene = images(1)[0]
    answers = [pipeline.submit(batch(scene)) for _ in range(DEPTH)]
    late = threading.Thread(target=lambda: answers.append(pipeline.submit(batch(scene))))
    late.start()
    late.join(0.3)
    assert late.is_alive()
    assert pipeline.busy_for() > 0.3
    assert answers[1].cancel()
    go_on.set()
    late.join(PATIENCE)
    assert not answers[0].cancel()
    with pytest.raises(CancelledError):
        answers[1].result()
    for answer in (answers[0], *answers[2:]):
        assert answer.result()
    assert computed == DEPTH
    assert pipeline.busy_for() == 0


def test_settings_are_those_of_the_moment_of_submission(
    predictor: Predictor, pipeline: StreamPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, compute = threading.Event(), predictor.compute

    def network(*arguments: Any) -> list[FusedImage]:
        assert go_on.wait(PATIENCE)
        return compute(*arguments)

    monkeypatch.setattr(predictor, "compute", network)
    scene = images(1)[0]
    some = pipeline.submit(batch(scene))
    predictor.settings = replace(predictor.settings, score_threshold=1.0, min_stuff_area=10**6)
    none = pipeline.submit(batch(scene))
    go_on.set()
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
        thread.join(PATIENCE)
    assert all(same(found[number], expected[number]) for number in range(len(scenes)))


def waiter(turns: TurnEstimate, stopping: threading.Event) -> threading.Thread:
    """Waits until the network is free, which is in an hour by what is known."""
    turns.begin()
    turns.end(StageTimes(preprocess=0, network=3600, proposals=0, fusing=0, download=0))
    turns.begin()
    thread = threading.Thread(target=turns.wait_until_free, args=(0.0, stopping), daemon=True)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    return thread


def test_whoever_waits_for_the_network_goes_on_as_soon_as_it_has_nothing_to_do() -> None:
    turns = TurnEstimate()
    thread = waiter(turns, threading.Event())
    turns.end(None)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_whoever_waits_for_the_network_can_be_stopped() -> None:
    turns, stopping = TurnEstimate(), threading.Event()
    thread = waiter(turns, stopping)
    stopping.set()
    turns.wake()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_the_network_is_expected_to_be_free_when_it_has_done_what_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    turns = TurnEstimate()
    assert turns.seconds_until_free() == 0
    for _ in range(3):
        turns.begin()
        now += 2.5
        turns.end(StageTimes(preprocess=0.1, network=1.5, proposals=0.2, fusing=0.3, download=0.4))
    turns.begin()
    assert turns.seconds_until_free() == pytest.approx(2.0)
    now += 0.5
    turns.begin()
    assert turns.seconds_until_free() == pytest.approx(3.5)
    assert turns.busy_for() == pytest.approx(0.5)
    now += 2.0
    # It left the network 0.4 s ago, when the second one began.
    turns.end(StageTimes(preprocess=0.1, network=1.5, proposals=0.2, fusing=0.3, download=0.4))
    assert turns.seconds_until_free() == pytest.approx(1.6)
    turns.end(None)
    assert turns.seconds_until_free() == 0
    assert turns.busy_for() == 0
